-- What several authsvc share, and the steps that nobody may see half of. Each call is one step: Redis runs nothing beside it.
-- authsvc/shared.c sends it; what the numbers mean is said in authsvc/admission.h and authsvc/bucket.h.
--
-- Keys, all behind the prefix that the caller gives:
--   u:USER  bal rev (the newest revision's), off, held (sum of open holds), free (bal - held)
--   k:KEY   requests and tokens of a minute (l level, t at, m limit), run (calls at once), held, sp pe kr (of its budget), bu
--   h:ID    an open hold: u k a (amount) n (tokens) q (a request was counted) r (has a place) d (has had one) b (began) e m p i
--   e:ID    an id that is over          x, o   open ids by their expiry and by their beginning     s   held in all
--   live    whoever had holds has told of them          filling   since when they are waited for
--
-- Lua's numbers are doubles, exact below 2^53: so amounts stay text and are added by HINCRBY, which is exact to 64 bits, and whose
-- answer's sign is right however it is rounded. Everything else is far smaller.

local prefix, op = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local KEEP_S = 8 * 86400 -- longer than any call runs
local ENDED_S = 3600
local MINUTE_MS = 60000
local LOOK_MAX = 20000
local EXACT = 2 ^ 53 -- whole numbers up to here are
local FITS, SHORT, EMPTY, OVER, OTHERS = 0, 1, 2, 3, 4 -- enum shared_answer

local function num(text) return tonumber(text or 0) or 0 end
local function int(n) return string.format('%.0f', n) end
local function neg(text)
    if text == '0' then return text end
    return text:sub(1, 1) == '-' and text:sub(2) or '-' .. text
end
local function user_key(id) return prefix .. 'u:' .. id end
local function key_key(id) return prefix .. 'k:' .. id end
local function hold_key(id) return prefix .. 'h:' .. id end
local function ended_key(id) return prefix .. 'e:' .. id end
local function keep(name) redis.call('EXPIRE', name, KEEP_S) end
local function live() return redis.call('EXISTS', prefix .. 'live') == 1 end
local function ended(id) return redis.call('EXISTS', ended_key(id)) == 1 end
local function remember(id) redis.call('SET', ended_key(id), 1, 'EX', ENDED_S) end

-- ---- users and keys

local function balance(user, bal, rev)
    local u = user_key(user)
    local old = redis.call('HMGET', u, 'bal', 'rev')
    if old[1] and num(old[2]) >= num(rev) then return end
    redis.call('HSET', u, 'bal', bal, 'rev', rev)
    redis.call('HINCRBY', u, 'free', bal)
    if old[1] then redis.call('HINCRBY', u, 'free', neg(old[1])) end
    keep(u)
end

local function spent(key, sp, period_end, rev)
    local k = key_key(key)
    local old = redis.call('HGET', k, 'kr')
    if old and num(old) >= num(rev) then return end
    redis.call('HSET', k, 'sp', sp, 'pe', period_end, 'kr', rev)
    keep(k)
end

local function budget_left(key, budget, wall_s)
    local v = redis.call('HMGET', key_key(key), 'held', 'sp', 'pe')
    local left = budget - num(v[1])
    if num(v[3]) == 0 or wall_s < num(v[3]) then left = left - num(v[2]) end
    return left
end

local function hold_more(user, key, amount)
    redis.call('HINCRBY', user_key(user), 'free', neg(amount))
    redis.call('HINCRBY', user_key(user), 'held', amount)
    redis.call('HINCRBY', key_key(key), 'held', amount)
    redis.call('HINCRBY', prefix .. 's', 'held', amount)
    keep(user_key(user))
    keep(key_key(key))
end

-- As bucket_refill counts.
local function level(key, name, limit)
    local b = redis.call('HMGET', key_key(key), name .. 'l', name .. 't')
    local full = limit * MINUTE_MS
    if not b[1] then return full end
    local elapsed = math.min(math.max(now - num(b[2]), 0), 2 * MINUTE_MS)
    return math.max(math.min(num(b[1]) + elapsed * limit, full), -full)
end

local function set_level(key, name, limit, to)
    redis.call('HSET', key_key(key), name .. 'l', int(to), name .. 't', int(now), name .. 'm', int(limit))
end

-- Gives back, or takes, what was reserved otherwise than it was used. A debt is at most one minute's worth.
local function correct(key, name, by)
    local b = redis.call('HMGET', key_key(key), name .. 'l', name .. 'm')
    if not b[1] or by == 0 then return end
    local full = num(b[2]) * MINUTE_MS
    redis.call('HSET', key_key(key), name .. 'l', int(math.max(math.min(num(b[1]) + by * MINUTE_MS, full), -full)))
end

-- ---- holds

local function free_place(id, key, has)
    if has ~= '1' then return end
    redis.call('HSET', hold_key(id), 'r', 0)
    redis.call('HINCRBY', key_key(key), 'run', -1)
end

-- Everything that it takes but what was counted of a minute. Answers its fields, or nil.
local function drop(id)
    local h = redis.call('HMGET', hold_key(id), 'u', 'k', 'a', 'n', 'r', 'q', 'b', 'e', 'm', 'p', 'i')
    if not h[1] then return nil end
    free_place(id, h[2], h[5])
    hold_more(h[1], h[2], neg(h[3]))
    redis.call('DEL', hold_key(id))
    redis.call('ZREM', prefix .. 'x', id)
    redis.call('ZREM', prefix .. 'o', id)
    return h
end

-- As if it had never been.
local function undo(id)
    local h = drop(id)
    if not h then return end
    correct(h[2], 'q', num(h[6]))
    correct(h[2], 'n', num(h[4]))
end

local function open(id, user, key, lease_ms)
    redis.call('HSET', hold_key(id), 'u', user, 'k', key, 'a', '0', 'b', int(now))
    redis.call('ZADD', prefix .. 'x', int(now + lease_ms), id)
    redis.call('ZADD', prefix .. 'o', int(now), id)
    keep(hold_key(id))
end

local function grow(id, user, key, amount)
    redis.call('HINCRBY', hold_key(id), 'a', amount)
    hold_more(user, key, amount)
end

local function place(id, key)
    redis.call('HSET', hold_key(id), 'r', 1, 'd', 1)
    redis.call('HINCRBY', key_key(key), 'run', 1)
    keep(key_key(key))
end

-- ---- the calls

local ops = {}

-- The sign of what would be left is exact.
local function bears(user, amount)
    if amount == '0' then return true end
    local left = redis.call('HINCRBY', user_key(user), 'free', neg(amount))
    redis.call('HINCRBY', user_key(user), 'free', amount)
    return left >= 0
end

local function figures(answer, user, key, rpm, tpm)
    local u = redis.call('HMGET', user_key(user), 'bal', 'rev', 'held')
    local k = redis.call('HMGET', key_key(key), 'held', 'sp', 'pe', 'run')
    return {answer, u[1] or '0', u[2] or '0', u[3] or '0', k[1] or '0', k[2] or '0', k[3] or '0', k[4] or '0',
            int(level(key, 'q', rpm)), int(level(key, 'n', tpm))}
end

-- take: '1', or '0' to look only. 0 of rpm, tpm, concurrency and budget: no limit.
function ops.admit(id, take, user, key, amount, tokens, rpm, tpm, concurrency, bal, rev, budget, sp, period_end, kr, wall_s, lease_ms,
                   endpoint, model, provider, price)
    if not live() then return {EMPTY} end
    if ended(id) then return {OVER} end
    local before = redis.call('HGET', hold_key(id), 'k')
    if before and before ~= key then return {OTHERS} end
    if before and take == '1' then undo(id) end -- asked again: whoever decided it has told nobody
    balance(user, bal, rev)
    spent(key, sp, period_end, kr)
    redis.call('HSET', key_key(key), 'bu', budget)
    rpm, tpm, concurrency, tokens = num(rpm), num(tpm), num(concurrency), num(tokens)
    local requests, left = level(key, 'q', rpm), level(key, 'n', tpm)
    local fits = take == '1' and (rpm == 0 or requests >= MINUTE_MS) and (tpm == 0 or tokens == 0 or left >= tokens * MINUTE_MS)
        and (concurrency == 0 or num(redis.call('HGET', key_key(key), 'run')) < concurrency)
        and (num(budget) == 0 or amount == '0' or num(amount) <= budget_left(key, num(budget), num(wall_s)))
        and bears(user, amount)
    if fits then
        open(id, user, key, num(lease_ms))
        grow(id, user, key, amount)
        place(id, key)
        if rpm > 0 then set_level(key, 'q', rpm, requests - MINUTE_MS) end
        if tpm > 0 then set_level(key, 'n', tpm, left - tokens * MINUTE_MS) end
        redis.call('HSET', hold_key(id), 'q', rpm > 0 and 1 or 0, 'n', tpm > 0 and int(tokens) or 0, 'e', endpoint, 'm', model, 'p', provider,
                   'i', price)
    end
    keep(key_key(key))
    return figures(fits and FITS or SHORT, user, key, rpm, tpm)
end

-- The call is over and billed. The hold goes and the balance comes in one step; again, and it changes nothing.
function ops.settled(id, tokens, user, bal, rev, key, sp, period_end)
    local h = drop(id)
    if h and num(h[4]) > 0 then correct(h[2], 'n', num(h[4]) - num(tokens)) end
    remember(id)
    balance(user, bal, rev)
    if key ~= '' then spent(key, sp, period_end, rev) end
    return {FITS}
end

-- A balance that changed otherwise. Of users without calls nothing is kept.
function ops.user(user, bal, rev, active)
    local old = redis.call('HGET', user_key(user), 'rev')
    if not old then return {FITS} end
    if num(rev) >= num(old) then redis.call('HSET', user_key(user), 'off', active == '1' and 0 or 1) end
    balance(user, bal, rev)
    return {FITS}
end

function ops.done(id)
    local h = redis.call('HMGET', hold_key(id), 'k', 'r')
    if h[1] then free_place(id, h[1], h[2]) end
    return {FITS}
end

function ops.undo(id)
    undo(id)
    return {FITS}
end

-- Somebody knows that it is open. Also while the holds are gathered: that is what this is for.
function ops.assert(id, user, key, amount, lease_ms, running)
    if ended(id) then return {OVER} end
    local h = redis.call('HMGET', hold_key(id), 'u', 'k', 'a', 'd')
    if not h[1] then
        open(id, user, key, num(lease_ms))
        h = {user, key, '0', false}
    elseif num(redis.call('ZSCORE', prefix .. 'x', id)) < now + num(lease_ms) then
        redis.call('ZADD', prefix .. 'x', int(now + num(lease_ms)), id)
    end
    if num(amount) > num(h[3]) then grow(id, h[1], h[2], int(num(amount) - num(h[3]))) end
    if running == '1' and not h[4] then place(id, h[2]) end
    return {FITS}
end

-- As far as the credit and the key's budget bear. Answers what is held then.
function ops.extend(id, amount, wall_s)
    if not live() then return {EMPTY} end
    local h = redis.call('HMGET', hold_key(id), 'u', 'k', 'a')
    if not h[1] then return {OVER} end
    local more = num(amount) - num(h[3])
    local u = redis.call('HMGET', user_key(h[1]), 'free', 'off')
    local room = u[2] == '1' and 0 or num(u[1])
    local budget = num(redis.call('HGET', key_key(h[2]), 'bu'))
    if budget > 0 then room = math.min(room, budget_left(h[2], budget, num(wall_s))) end
    more = math.min(more, room, EXACT)
    if more > 0 then grow(id, h[1], h[2], int(more)) end
    return {FITS, redis.call('HGET', hold_key(id), 'a')}
end

-- Those whose lease is over, n at most: they end here, and are answered to one who asks only.
function ops.expire(n)
    if not live() then return {EMPTY} end
    keep(prefix .. 'live')
    local answer = {FITS}
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'x', '-inf', int(now), 'LIMIT', 0, n)) do
        local h = drop(id)
        remember(id)
        if h then
            answer[#answer + 1] = {id, h[1], h[2], h[3], int(now - num(h[7])), h[8] or '', h[9] or '', h[10] or '', h[11] or '0'}
        end
    end
    return answer
end

-- The oldest, n at most, of one user or of all.
function ops.list(user, n)
    local answer = {FITS, redis.call('ZCARD', prefix .. 'o'), redis.call('HGET', prefix .. 's', 'held') or '0'}
    for _, id in ipairs(redis.call('ZRANGE', prefix .. 'o', 0, LOOK_MAX - 1)) do
        if #answer - 3 >= num(n) then break end
        local h = redis.call('HMGET', hold_key(id), 'u', 'k', 'a', 'r')
        if h[1] and (user == '' or h[1] == user) then
            local until_ms = num(redis.call('ZSCORE', prefix .. 'x', id))
            answer[#answer + 1] = {id, h[1], h[2], h[3], int(math.max(until_ms - now, 0)), h[4] or '0'}
        end
    end
    return answer
end

function ops.held(user)
    return {FITS, redis.call('HGET', user_key(user), 'held') or '0'}
end

-- Whoever comes has told of its holds. Answers how many milliseconds it has to wait for the others to do so.
function ops.join(fill_ms)
    if live() then return {FITS, 0} end
    redis.call('SET', prefix .. 'filling', int(now), 'NX', 'PX', int(10 * num(fill_ms)))
    local left = num(redis.call('GET', prefix .. 'filling')) + num(fill_ms) - now
    if left > 0 then return {FITS, left} end
    redis.call('SET', prefix .. 'live', 1, 'EX', KEEP_S)
    return {FITS, 0}
end

return ops[op](unpack(ARGV, 3))
