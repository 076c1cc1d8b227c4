#!/bin/bash
# fake-upstream and loadgen against each other: tests/upstream/selftest.sh [BIN_DIR], default build/bin.
# Takes about 5 s. Prints one line per check and a sum; exit code 1 when one failed.
set -u
BIN=${1:-${BIN_DIR:-$(dirname "$0")/../../build/bin}}
UPSTREAM=${UPSTREAM:-$BIN/fake-upstream}
LOADGEN=${LOADGEN:-$BIN/loadgen}
command -v curl >/dev/null || { echo "SKIP selftest: no curl"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
DIR=$(mktemp -d)
J=$DIR/journal
FAILED=0
PASSED=0
UP=

finish() {
    [ -n "$UP" ] && kill "$UP" 2>/dev/null && wait "$UP"
    rm -rf "$DIR"
}
trap finish EXIT

is() { # name got wanted
    if [ "$2" = "$3" ]; then
        PASSED=$((PASSED + 1))
        echo "  ok  $1"
    else
        FAILED=$((FAILED + 1))
        echo "FAIL $1: got '$2', wanted '$3'"
    fi
}
has() { # name text part
    case $2 in *"$3"*) is "$1" yes yes ;; *) is "$1" "$2" "…$3…" ;; esac
}
within() { # name value least most
    is "$1" "$([ "$2" -ge "$3" ] && [ "$2" -le "$4" ] && echo yes || echo "$2, not in $3..$4")" yes
}
field() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" <<<"$2"; }
stat() { field "$1" "$(curl -s "$BASE/__stats")"; }
line() { # the journal's line of one user, without waiting longer than 10 s
    for _ in $(seq 200); do
        grep -P "^\d+\t[^\t]*\t$1\t" "$J" && return
        sleep 0.05
    done
}
written() { stat requests >/dev/null; } # it has one thread: when it answers, the journal has what was over before
col() { cut -f"$2" <<<"$1"; }
post() { # user text [stream] [curl options]: body on stdout, curl's exit code is returned
    local user=$1 text=$2 stream=${3:-false}
    shift; shift; shift
    curl -s -m 5 -H 'Authorization: Bearer k' -H "X-Client-Request-Id: rid-$user" "$@" "$CHAT" -d \
        "{\"model\":\"m\",\"user\":\"$user\",\"stream\":$stream,\"messages\":[{\"role\":\"user\",\"content\":\"$text\"}]}"
}

start() {
    "$UPSTREAM" "$@" >"$DIR/out" &
    UP=$!
    for _ in $(seq 100); do
        grep -q listening "$DIR/out" && break
        sleep 0.05
    done
    BASE=http://127.0.0.1:$(awk '{print $2}' "$DIR/out")
    CHAT=$BASE/v1/chat/completions
}

calls_agree() {
    local out
    out=$("$LOADGEN" calls --url "$CHAT" --connections 32 --requests 5000 --user c- \
        --prompt '[[prompt=1%d tokens=3 reasoning=2]]' --journal "$DIR/calls")
    is "5000 calls: exit code" $? 0
    is "5000 calls: ok" "$(field ok "$out")" 5000
    is "5000 calls: completion tokens" "$(field completion_tokens "$out")" 25000
    written
    is "journal has each once" "$(cut -f3 "$J" | sort | uniq -c | grep -c ' 1 c-')" 5000
    # user, prompt, completion, and the request id, which holds the upstream's sequence number in hex
    awk -F'\t' '{printf "%s %s %s req_up%016x\n", $3, $8, $10, $1}' "$J" | sort >"$DIR/a"
    awk -F'\t' '{printf "%s %s %s %s\n", $2, $5, $6, $3}' "$DIR/calls" | sort >"$DIR/b"
    is "journal and client agree call by call" "$(cmp "$DIR/a" "$DIR/b" && echo same)" same
    is "prompt tokens are those asked for" "$(awk -F'\t' '"1" $1 != $5' "$DIR/calls" | wc -l)" 0
}

streams_complete() {
    local out lost
    out=$("$LOADGEN" streams --url "$CHAT" --streams 200 --tokens 50 --delay-ms 5 --ramp-ms 200 \
        --user s- --usage)
    is "200 streams: exit code" $? 0
    is "200 streams: tokens" "$(field tokens "$out")" 10000
    is "200 streams: broken" "$(field broken "$out")" 0
    is "200 streams: with usage" "$(field with_usage "$out")" 200
    written
    is "200 streams in the journal" \
        "$(awk -F'\t' '$3 ~ /^s-/ && $7 == "ok" && $10 == 50 && $12 == 50' "$J" | wc -l)" 200
    is "no stream left open" "$(stat open_streams)" 0
    out=$("$LOADGEN" streams --url "$CHAT" --streams 20 --tokens 2000 --delay-ms 0 --ramp-ms 0 --user f-)
    is "unpaced streams: tokens" "$(field tokens "$out")" 40000
    out=$("$LOADGEN" calls --url "$CHAT" --connections 8 --requests 400 --user d- --prompt '[[drop]]')
    # The next call may leave before the FIN comes: then it is lost, and never reached the upstream.
    lost=$(field lost "$out")
    written
    is "connections dropped after the answer: ok + lost" "$(($(field ok "$out") + ${lost:-0}))" 400
    is "of these, ok in the journal" "$(awk -F'\t' '$3 ~ /^d-/ && $7 == "ok"' "$J" | wc -l)" \
        "$(field ok "$out")"
}

faults_show() { # loadgen must see what is wrong
    local out
    out=$("$LOADGEN" streams --url "$CHAT" --streams 5 --tokens 9 --delay-ms 1 --ramp-ms 0 --user x- \
        --max-tokens 8)
    is "short streams are broken: exit code" $? 1
    is "short streams: broken" "$(field broken "$out")" 5
    is "short streams: lost" "$(field lost "$out")" 5
    out=$("$LOADGEN" calls --url "$CHAT" --requests 10 --user y- --prompt '[[status=503]]')
    is "errors by status" "$(field 503 "$out")" 10
    out=$("$LOADGEN" calls --url "$CHAT" --requests 3 --timeout 1 --connections 3 --user z- \
        --prompt '[[hang=headers]]')
    is "timeouts" "$(field timeout "$out")" 3
    written
    is "hang with a client that left" "$(awk -F'\t' '$3 ~ /^z-/ && $7 == "hang"' "$J" | wc -l)" 3
    "$LOADGEN" calls --url http://192.0.2.1/v1/chat/completions 2>"$DIR/err"
    is "loadgen refuses foreign addresses" $? 2
    out=$("$LOADGEN" idle --url "$CHAT" --streams 50 --hold 1 --ramp-ms 50 --user i- --begun)
    is "idle streams held" "$(field held "$(tail -n 1 <<<"$out")")" 50
}

faults_happen() {
    local out rc l
    out=$(post e1 '[[status=429 retry-after=7 code=insufficient_quota type=insufficient_quota]]' false -i)
    has "status" "$out" "HTTP/1.1 429"
    has "retry-after" "$out" "retry-after: 7"
    has "error shape" "$out" '"type":"insufficient_quota","param":null,"code":"insufficient_quota"}}'
    l=$(line e1)
    is "status in the journal" "$(col "$l" 6) $(col "$l" 7) $(col "$l" 10)" "429 error 0"
    is "request id in the journal" "$(col "$l" 2)" rid-e1
    out=$(post e2 '[[tokens=10 cut=4]]' true); rc=$?
    is "cut: curl" $rc 18
    is "cut: chunks" "$(grep -c '"content":".*t[0-9]' <<<"$out")" 4
    l=$(line e2)
    is "cut in the journal" "$(col "$l" 7) $(col "$l" 10) $(col "$l" 12)" "cut 4 4"
    post e3 '[[tokens=10 reset=3]]' true >"$DIR/x"; rc=$?
    is "reset: curl" $rc 56
    is "reset in the journal" "$(col "$(line e3)" 7)" reset
    post e4 '[[cut=headers]]' false; rc=$?
    is "cut=headers: curl" $rc 52
    is "cut=headers in the journal" "$(line e4 | cut -f6,7)" "0	cut"
    post e5 '[[cut=0]]' false >"$DIR/x"; rc=$?
    is "half a plain body: curl" $rc 18
    post e6 '[[tokens=10 hang=stream at=3]]' true -m 2 >"$DIR/x"; rc=$?
    is "hang=stream: curl" $rc 28
    is "hang=stream in the journal" "$(line e6 | cut -f7,12)" "hang	3"
    out=$(post e7 '[[tokens=4 error-event=2]]' true); rc=$?
    is "error event: curl" $rc 0
    has "error event" "$out" 'data: {"error":{"message"'
    is "no [DONE] after an error" "$(grep -c DONE <<<"$out")" 0
    post e8 '[[html status=502]]' false -i >"$DIR/x"
    has "html" "$(cat "$DIR/x")" 'Content-Type: text/html'
    out=$(post e9 '[[nonsense=1]]' false)
    has "an unknown word is refused" "$out" bad_directive
    for n in 500 500 200; do
        is "times=2: $n" "$(post "t$n" '[[status=500 times=2 id=a]]' false -o "$DIR/x" -w '%{http_code}')" $n
    done
}

clients_leave() {
    local l gone
    post g1 '[[first=30000]]' false -m 2; gone=$(date +%s%3N)
    l=$(line g1)
    is "client gone before the answer" "$(col "$l" 7)" client_gone
    # Two seconds less what it took to connect; a busy machine says late that they are over.
    within "gone: duration" "$(col "$l" 13)" 1000 3000
    within "gone: noticed after ms" "$((gone - $(col "$l" 14)))" -500 1000
    post g2 '[[tokens=1000 delay=20]]' true -m 2 >"$DIR/x"
    l=$(line g2)
    is "client gone in a stream" "$(col "$l" 7)" client_gone
    within "gone: chunks" "$(col "$l" 12)" 50 150
    is "gone: completion = chunks" "$(col "$l" 10)" "$(col "$l" 12)"
}

shapes() {
    local out body='{ "model":"m\/x",	"messages" :[{"role":"user","content":"\u005b[ \"\\\\"}],"x":[1e9,{}], "user":"b1" }'
    out=$(printf %s "$body" | curl -s -H 'Authorization: Bearer k' "$CHAT" --data-binary @-)
    has "model as it was sent" "$out" '"model":"m\/x"'
    is "last body, byte by byte" "$(curl -s "$BASE/__last")" "$body"
    printf %s "$body" | curl -s -H 'Authorization: Bearer k' -H 'Transfer-Encoding: chunked' "$CHAT" \
        --data-binary @- >"$DIR/x"
    is "last body, sent in chunks" "$(curl -s "$BASE/__last")" "$body"
    has "last head" "$(curl -s "$BASE/__last/head")" "POST /v1/chat/completions HTTP/1.1"
    out=$(post b2 '[[tokens=3]]' true --http1.0)
    has "HTTP/1.0 stream" "$(tail -n 2 <<<"$out")" 'data: [DONE]'
    out=$(post b3 '[[tokens=3 slow-body delay=20]]' true)
    is "slow stream" "$(grep -c '^data: ' <<<"$out")" 6
    out=$(post b4 '[[tokens=50 slow-body delay=10]]' false -w '%{time_total}')
    has "slow body" "$out" t49
    has "no key" "$(curl -s "$CHAT" -d "$body" -w '%{http_code}')" 401
    is "missing model" "$(curl -s -o "$DIR/x" -w '%{http_code}' -H 'Authorization: Bearer k' "$CHAT" \
        -d '{"model":"missing-1","messages":[{}]}')" 404
    is "broken JSON" "$(curl -s -o "$DIR/x" -w '%{http_code}' -H 'Authorization: Bearer k' "$CHAT" \
        -d '{"model":')" 400
    head -c 3000000 /dev/zero | tr '\0' a >"$DIR/big"
    out=$( (printf '{"model":"m","user":"b5","messages":[{"role":"user","content":"'; cat "$DIR/big"
        printf '"}]}') | curl -s -H 'Authorization: Bearer k' "$CHAT" --data-binary @- )
    is "3 MB body, 100-continue" "$(field prompt_tokens "$out")" 750006
    out=$(post b6 '[[tools=2]]' true)
    is "tool calls in fragments" "$(grep -c '"tool_calls":\[' <<<"$out")" 8
}

raw() { # bytes sent as they are; the answer's first line and how many answers came
    exec 9<>"/dev/tcp/127.0.0.1/${BASE##*:}"
    printf %b "$1" >&9
    timeout 10 cat <&9 >"$DIR/raw" # it closes
    exec 9>&-
    echo "$(head -n 1 "$DIR/raw" | tr -d '\r') x$(grep -ac '^HTTP/1.1' "$DIR/raw")"
}

wire() {
    local p='POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer k\r\n' b='{"model":"m","messages":[{}]}'
    is "two requests in one packet" \
        "$(raw "${p}Content-Length: 29\r\n\r\n$b${p}Content-Length: 29\r\nConnection: close\r\n\r\n$b")" \
        "HTTP/1.1 200 OK x2"
    is "length and chunks are refused" \
        "$(raw "${p}Content-Length: 29\r\nTransfer-Encoding: chunked\r\n\r\n$b")" "HTTP/1.1 400 Bad Request x1"
    is "two lengths are refused" \
        "$(raw "${p}Content-Length: 29\r\nContent-Length: 29\r\n\r\n$b")" "HTTP/1.1 400 Bad Request x1"
}

start --journal "$J" --port 0
calls_agree
streams_complete
faults_show
faults_happen
clients_leave
shapes
wire
kill "$UP"
wait "$UP"
is "SIGTERM: exit code" $? 0
UP=
start --api-key right
is "wrong key" "$(post k1 x false -o "$DIR/x" -w '%{http_code}')" 401
echo "$PASSED passed, $FAILED failed, 0 skipped"
[ "$FAILED" -eq 0 ]
