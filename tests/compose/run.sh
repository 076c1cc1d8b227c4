#!/usr/bin/env bash
# tests/compose/run.sh (make test-compose): builds the image on a Debian made here, then does what README.md and
# docs/operations.md say of a team's deployment, with their own lines: secrets, up, three instances of providersvc, backup,
# restore. Between them it makes calls and looks at their bill. It works in a folder of its own: no .env but its own is
# read or written.
#
# Uses the Docker engine that answers; without one it installs Debian's and starts it for the time of the test,
# its data under build/docker. Where no engine can be had, the test says why and counts as skipped.
set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD
work=$top/build/docker
suite=${SUITE:-trixie}
base=openai-router-base:$suite
image=openai-router:test
redis_image=openai-router-redis:test
ready_s=90
bill_s=20
passed=0 failed=0 skipped=0
dockerd_pid=
run=$(mktemp -d /tmp/orc.XXXXXX) # a short path: the engine's socket stands in it
mkdir -p "$work"

# shellcheck source=tests/lib-debian-root.sh
. tests/lib-debian-root.sh

ok() { passed=$((passed + 1)); printf '  ok  %s\n' "$*"; }
bad() { failed=$((failed + 1)); printf 'FAIL %s\n' "$*"; }
expect() { # expect NAME COMMAND...
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"; else bad "$name: $out"; fi
}

finish() {
    if [ -n "${project_up:-}" ]; then
        [ "$failed" -eq 0 ] || compose logs --no-color --tail 60 2>&1 | tail -n 240
        compose --profile redis down -v --remove-orphans >/dev/null 2>&1
    fi
    if [ -n "$dockerd_pid" ]; then
        kill "$dockerd_pid" 2>/dev/null
        for _ in $(seq 100); do
            kill -0 "$dockerd_pid" 2>/dev/null || break
            sleep 0.2
        done
        umount "$run"/exec/netns/* 2>/dev/null # the engine leaves its own behind
    fi
    rm -rf --one-file-system "$run"
    printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
    exit $((failed > 0)) # a bare exit in a trap would give the code from before it
}
trap finish EXIT

skip_all() {
    printf 'skip  compose: %s\n' "$*"
    skipped=$((skipped + 1))
    exit
}

# --- an engine ------------------------------------------------------------------------------------------

start_engine() {
    docker info >/dev/null 2>&1 && return 0
    unset DOCKER_CONTEXT
    export DOCKER_HOST=unix://$run/docker.sock
    dockerd --data-root "$work/data" --exec-root "$run/exec" --pidfile "$run/pid" -H "$DOCKER_HOST" \
        >"$work/dockerd.log" 2>&1 </dev/null &
    dockerd_pid=$!
    for _ in $(seq 60); do
        docker info >/dev/null 2>&1 && return 0
        kill -0 "$dockerd_pid" 2>/dev/null || break
        sleep 0.5
    done
    tail -n 5 "$work/dockerd.log"
    return 1
}

make_base() {
    docker image inspect "$base" >/dev/null 2>&1 && return 0
    local root=$run/root
    debian_root "$suite" "$root" >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log"; return 1; }
    tar -C "$root" -c . | docker import - "$base" >/dev/null
    local status=$?
    rm -rf "$root"
    return $status
}

# build_image [option...]. Host network while building: the machine's own way to the package archive.
build_image() {
    local try
    for try in 1 2 3; do # the archive may be away for a moment
        docker build --network host --build-arg BASE="$base" --build-arg http_proxy --build-arg https_proxy \
            "$@" . >"$work/build.log" 2>&1 && return 0
        [ "$try" = 3 ] || sleep 10
    done
    tail -n 40 "$work/build.log"
    return 1
}

sh deploy/deps.sh test compose || skip_all "the Docker engine's packages cannot be installed"
start_engine || skip_all "no Docker engine answers, and one cannot be started here"
if docker compose version >/dev/null 2>&1; then composer=(docker compose); else composer=(docker-compose); fi
make_base || skip_all "no base image: debootstrap does not work here"

project=$run/project
mkdir -p "$project/deploy"
cp compose.yaml "$project/"
cp -r deploy/config "$project/deploy/"
chmod -R go+rX "$project/deploy" # the containers' user reads the folder of CONFIG
compose() { (cd "$project" && "${composer[@]}" -p "orouter-test-$$" "$@"); }

# documented FILE START: runs the line of FILE that begins so, in the project's folder. Only the image is the one made
# above, and nothing has a terminal.
documented() {
    local line
    line=$(awk -v start="$2" 'index($0, start) == 1 {print; exit}' "$top/$1" | sed 's/  *#.*//')
    [ -n "$line" ] || { echo "$1 has no line '$2'"; return 1; }
    line=${line/docker compose /compose }
    line=${line/--build/--no-build} line=${line/ exec meterd/ exec -T meterd} line=${line/ run --rm --no-deps meterd/ run --rm --no-deps -T meterd}
    (cd "$project" && eval "$line")
}
printf 'engine %s, %s\n' "$(docker version -f '{{.Server.Version}}')" "$(compose version --short 2>/dev/null || compose version | head -n 1)"

start=$SECONDS
if ! out=$(build_image -t "$image"); then
    bad "the image builds: $out"
    exit
fi
ok "the image builds ($((SECONDS - start)) s, $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB with its base)"

# --- two secrets, and up ---------------------------------------------------------------------------------

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
field() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[int(name) if name.isdigit() else name]
print(value)' "$1"; }

# What this shell has of compose.yaml's variables would count before what stands in .env.
# shellcheck disable=SC2016 # compose.yaml's own
mapfile -t variables < <(grep -o '\${[A-Z_]*' compose.yaml | tr -d '${' | sort -u)
unset "${variables[@]}" COMPOSE_FILE COMPOSE_PROJECT_NAME COMPOSE_ENV_FILES

out=$(compose config 2>&1)
case $out in *JWT_SECRET*.env*compose.yaml*) ok "without JWT_SECRET compose says what to do" ;; *) bad "compose without JWT_SECRET: $out" ;; esac
echo 'JWT_SECRET=compose-test-secret-of-more-than-32-characters' >"$project/.env"
out=$(compose config 2>&1)
case $out in *MASTER_KEY*.env*compose.yaml*) ok "without MASTER_KEY compose says what to do" ;; *) bad "compose without MASTER_KEY: $out" ;; esac
rm "$project/.env"

secrets=$(grep -m 1 '^(umask' README.md)
for file in README.zh-CN.md docs/operations.md compose.yaml; do
    expect "$file has README.md's line that makes the secrets" grep -qF -- "$secrets" "$file"
done
expect "the secrets are made" documented README.md '(umask'
made=$(cat "$project/.env")
expect "only their owner reads them" test "$(stat -c %a "$project/.env")" = 600
expect "they are two, of 64 digits" test "$(grep -cE '^(JWT_SECRET|MASTER_KEY)=[0-9a-f]{64}$' "$project/.env")" = 2
for shell in sh bash; do
    (cd "$project" && $shell -c "$secrets") 2>/dev/null
    expect "a second time ($shell) leaves them alone" test "$(cat "$project/.env")" = "$made"
done

# No image of the profile is pulled here: only that it stands.
out=$(compose --profile metrics config 2>&1)
case $out in *grafana*9090*) ok "the profile metrics is good" ;; *) bad "the profile metrics: $(tail -n 3 <<<"$out")" ;; esac

port=$(free_port)
url=http://127.0.0.1:$port
{
    echo "PORT=$port"
    echo "ROUTER_IMAGE=$image"
    echo "REDIS_IMAGE=$redis_image"
    echo SPOOL_KEEP_HOURS=47
    echo DRAIN_MS=20000
    echo STOP_GRACE_PERIOD=25s
    # A machine may refuse its containers more open files than it has itself.
    limit=$(ulimit -Hn)
    [ "$limit" = unlimited ] || [ "$limit" -ge 65536 ] || echo "NOFILE=$limit"
} >>"$project/.env"
project_up=1
if ! out=$(documented README.md 'docker compose up -d --build' 2>&1); then
    bad "up: $out"
    exit
fi
wait_ready() {
    for _ in $(seq $((ready_s * 2))); do
        [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$url/health/ready")" != 200 ] || return 0
        sleep 0.5
    done
    return 1
}
start=$SECONDS
if ! wait_ready; then
    bad "/health/ready answers within $ready_s s"
    compose ps
    exit
fi
ok "four containers up, ready after $((SECONDS - start)) s"
expect "and no other" test "$(compose ps -q | wc -l)" = 4

# --- a key, a call, its bill ----------------------------------------------------------------------------

api() { # api METHOD PATH [JSON]: with $token
    curl -sS -m 30 -X "$1" "$url$2" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        -H "Idempotency-Key: $RANDOM-$RANDOM-$$" ${3:+-d "$3"}
}
call() { # call [curl options]: one chat completion
    curl -sS -m 30 "$url/v1/chat/completions" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
        -d '{"model":"echo","messages":[{"role":"user","content":"hello from compose"}]}' "$@"
}

sign_in() { # sets token and user
    local out
    token=
    out=$(api POST /auth/login "{\"email\":\"$admin\",\"password\":\"$password\"}")
    user=$(field user.id <<<"$out" 2>/dev/null)
    token=$(field access_token <<<"$out" 2>/dev/null) || { bad "the administrator logs in: $out"; return 1; }
}

read -r admin password < <(documented README.md 'docker compose logs meterd' |
    sed -n 's/.*Administrator: \([^ ]*\) *password: \([^ ]*\) .*/\1 \2/p')
if [ -n "$password" ]; then ok "the log has the first password of $admin"; else bad "no password in the log of meterd"; fi
sign_in || exit
api POST "/api/admin/users/$user/credits" '{"amount_usd":"10","note":"compose test"}' >"$run/granted"
key=$(api POST /api/keys '{"name":"compose"}' | tee "$run/key" | field key 2>/dev/null) || { bad "a key: $(cat "$run/key")"; exit; }
ok "login, credits, key"

balance() { api GET /api/credits | field balance_usd; }
billed_rows() { api GET '/api/usage/requests?limit=100' | python3 -c '
import decimal, json, sys
print(sum(1 for r in json.load(sys.stdin)["data"] if decimal.Decimal(r["cost_usd"]) > 0))'; }
wait_rows() { # wait_rows N: every call has its paid row, none has two
    local rows
    for _ in $(seq $bill_s); do
        rows=$(billed_rows 2>/dev/null)
        [ "$rows" != "$1" ] || return 0
        sleep 1
    done
    echo "$rows rows instead of $1"
    return 1
}

before=$(balance)
out=$(call)
text=$(field choices.0.message.content <<<"$out" 2>/dev/null)
expect "the web console is in the image" grep -q '<title>OpenAI Router' <(curl -sS -m 30 -L -H 'Accept: text/html' "$url/")
if [ -n "$text" ]; then ok "the echo provider answers through the published port: $text"; else bad "a call: $out"; fi
expect "the call is billed" wait_rows 1
after=$(balance)
if [ -n "$before" ] && [ "$before" != "$after" ]; then ok "balance $before, then $after USD"; else bad "balance stays $before"; fi

# --- what the containers may do -------------------------------------------------------------------------

for service in gateway authsvc providersvc meterd; do
    id=$(compose ps -q $service)
    expect "$service is not root" test "$(docker exec "$id" id -u)" != 0
    # shellcheck disable=SC2016 # to be expanded in the container
    expect "$service cannot write outside its volumes" docker exec "$id" sh -c '! touch /usr/local/bin/x 2>/dev/null'
done

wait_healthy() { # by docker's own health checks
    local state
    for _ in $(seq 60); do
        state=$(compose ps -q | xargs docker inspect -f '{{.State.Health.Status}}' | sort -u)
        [ "$state" != healthy ] || return 0
        sleep 1
    done
    echo "$state"
    return 1
}
expect "every health check is green" wait_healthy
# shellcheck disable=SC2016 # to be expanded in the container
expect "uploads can wait on a disk" docker exec "$(compose ps -q gateway)" sh -c \
    'f=$(mktemp "$UPLOAD_DIR/x.XXXXXX") && rm "$f" && ! grep -q "^tmpfs $UPLOAD_DIR " /proc/mounts'
id=$(compose ps -q providersvc)
# shellcheck disable=SC2016
expect "a setting of .env is the program's" docker exec "$id" sh -c 'test "$SPOOL_KEEP_HOURS" = 47 && test "$DRAIN_MS" = 20000'
expect "STOP_GRACE_PERIOD of .env is the engine's" test "$(docker inspect -f '{{.Config.StopTimeout}}' "$id")" = 25
out=$(documented README.md 'docker compose exec meterd routerctl' 2>&1)
case $out in *"$admin"*) ok "routerctl in a container is the administrator's" ;; *) bad "routerctl in a container: $out" ;; esac

# --- three instances ------------------------------------------------------------------------------------

calls=60
if documented README.md 'docker compose up -d --scale' >"$run/scale" 2>&1; then
    expect "three instances are healthy" wait_healthy
    one() { call -o /dev/null -D - | tr -d '\r' | awk -F': ' 'NR == 1 {print "status " $1} tolower($1) == "x-router-instance" {print "instance " $2}'; }
    sleep 4 # a new instance gets calls within 3 s, but on a busy machine
    for early in $(seq 30); do
        one >>"$run/early"
        [ "$(grep '^instance' "$run/early" | sort -u | grep -c .)" != 3 ] || break
        sleep 0.5
    done
    for _ in $(seq $calls); do
        one
    done >"$run/spread"
    answered=$(grep -c '^status .* 200' "$run/spread")
    instances=$(grep '^instance' "$run/spread" | sort | uniq -c)
    if [ "$answered" = $calls ]; then ok "$calls calls over three instances"; else bad "only $answered of $calls calls answered"; fi
    if [ "$(grep -c . <<<"$instances")" = 3 ]; then
        ok "calls are spread: $(tr -s ' \n' ' ' <<<"$instances")"
    else
        bad "calls are not spread over 3 instances: $instances"
    fi
    paid=$((early + calls + 1))
    expect "every call has exactly one paid row" wait_rows $paid
else
    bad "scale: $(cat "$run/scale")"
fi

# --- backup and restore -----------------------------------------------------------------------------------

manual=docs/operations.md
late=5 granted=3
wait_balance() {
    local is
    for _ in $(seq $bill_s); do
        is=$(balance 2>/dev/null)
        [ "$is" != "$1" ] || return 0
        sleep 1
    done
    echo "$is instead of $1"
    return 1
}
verified() { # the restored meterd may not be everywhere yet
    local out
    for _ in $(seq $bill_s); do
        if out=$(documented $manual 'docker compose exec meterd routerctl ledger verify' 2>&1); then
            case $out in *'ledger is clean'*) return 0 ;; esac
        fi
        sleep 1
    done
    echo "$out"
    return 1
}

expect "a backup" documented $manual 'docker compose exec meterd routerctl backup'
expect "it is copied out" documented $manual 'docker compose exec -T meterd cat'
expect "it is a database" test "$(head -c 15 "$project/before-upgrade.db" 2>/dev/null)" = 'SQLite format 3'
for _ in $(seq $late); do
    call >/dev/null
done
paid=$((${paid:-1} + late))
expect "$late calls after it" wait_rows $paid
expected=$(balance)
api POST "/api/admin/users/$user/credits" "{\"amount_usd\":\"$granted\",\"note\":\"after the backup\"}" >"$run/granted"
expect "a user after it" compose exec -T meterd routerctl user create late@example.com
if [ "$(balance)" != "$expected" ]; then ok "credit after it"; else bad "credit after the backup: $(cat "$run/granted")"; fi
expect "stop" documented $manual 'docker compose stop'
for file in /data/backups/before-upgrade.db /data/from-outside.db; do
    [ $file != /data/from-outside.db ] || expect "a file from outside goes in" documented $manual 'docker compose run --rm --no-deps -T meterd sh'
    out=$(documented $manual "docker compose run --rm --no-deps meterd routerctl restore $file" 2>&1)
    case $out in
    *"restored  /data/app.db: "*"from $file"*"kept      /data/app.db.before-restore-"*) ok "restore of $file into the volume" ;;
    *) bad "restore of $file: $out" ;;
    esac
done
expect "start" documented $manual 'docker compose start'
if wait_ready && sign_in; then
    expect "the calls after the backup come back, each once" wait_rows $paid
    expect "credit is the backup's less those calls: $expected USD" wait_balance "$expected"
    out=$(compose exec -T meterd routerctl user list 2>&1)
    case $out in *late@*) bad "who came after the backup is there: $out" ;; *"$admin"*) ok "who came after the backup is gone" ;; *) bad "users: $out" ;; esac
    expect "the ledger is clean" verified
    expect "a call after the restore" test "$(call -o /dev/null -w '%{http_code}')" = 200
    expect "and its bill" wait_rows $((paid + 1))
else
    bad "ready after the restore"
fi

# --- down, and up again with the same volumes -------------------------------------------------------------

kept=$(balance)
if compose down >"$run/down" 2>&1 && compose up -d --no-build >>"$run/down" 2>&1 && wait_ready; then
    sign_in
    expect "the balance outlives the containers" test "$(balance)" = "$kept"
    expect "the key still works" test "$(call -o /dev/null -w '%{http_code}')" = 200
else
    bad "down and up: $(tail -n 5 "$run/down")"
fi

# --- two authsvcs and Redis -------------------------------------------------------------------------------

answered() { # answered N: so many calls, each with its 200
    for _ in $(seq "$1"); do
        call -o /dev/null -w '%{http_code}\n'
    done | sort | uniq -c | grep -qxE " *$1 200"
}
redis() { compose exec -T redis redis-cli "$@"; }
sharing() { # both authsvcs are connected; redis-cli itself comes over loopback
    local n
    for _ in $(seq $ready_s); do
        n=$(redis client list 2>/dev/null | grep -o ' addr=[0-9.]*' | grep -v '=127' | sort -u | grep -c .)
        [ "$n" != 2 ] || return 0
        sleep 1
    done
    echo "$n addresses"
    return 1
}

rows=$(billed_rows)
if ! out=$(build_image --target redis -t "$redis_image"); then
    bad "the image of Redis builds: $out"
elif documented README.md 'REDIS_URL=' >"$run/redis" 2>&1; then
    expect "all are healthy, Redis too" wait_healthy
    expect "two authsvcs are connected to Redis" sharing
    expect "30 calls through them" answered 30
    expect "what they share is there" test -n "$(redis --scan --pattern 'or:*')"
    expect "Redis cannot be reached from outside" test -z "$(docker port "$(compose ps -q redis)")"
    docker kill "$(compose ps -q authsvc | head -n 1)" >/dev/null
    expect "30 calls, one authsvc killed" answered 30
    expect "each has one paid row" wait_rows $((rows + 60))
    expect "the ledger is clean" verified
else
    bad "two authsvcs and Redis: $(tail -n 5 "$run/redis")"
fi
