#!/usr/bin/env bash
# tests/lint/run.sh: everything that can be said about the sources without running them. Zero warnings is the
# only good result; there is no list of known ones. Ends with a sum line; each check counts as one.
#
# clang-format and clang-tidy are pinned to one version, because each version warns about something else; where
# another is installed the two are skipped and counted as skipped.
set -u
cd "$(dirname "$0")/../.." || exit 1
pinned=14
jobs=$(nproc)
passed=0 failed=0 skipped=0

check() { # check NAME COMMAND...
    local name=$1 start=$SECONDS out
    shift
    if out=$("$@" 2>&1 </dev/null); then
        passed=$((passed + 1))
        printf '  ok  %-12s %3d s\n' "$name" $((SECONDS - start))
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n%s\n' "$name" "$(grep -v '^  TIDY ' <<<"$out" | tail -n 200)"
    fi
}

skip() {
    skipped=$((skipped + 1))
    printf 'skip  %s: %s\n' "$1" "$2"
}

has_pinned() { "$1" --version 2>/dev/null | grep -q "version $pinned\."; }

mapfile -t sources < <(find proto services gateway authsvc providersvc meterd cli tests -name '*.c' 2>/dev/null | sort)
mapfile -t headers < <(find proto services gateway authsvc providersvc meterd cli tests -name '*.h' 2>/dev/null | sort)
mapfile -t product < <(printf '%s\n' "${sources[@]}" | grep -v '^tests/')

format() {
    clang-format --dry-run --Werror "${sources[@]}" "${headers[@]}"
}

cppcheck_all() {
    mkdir -p build/lint/cppcheck
    # missingInclude: the libraries' headers are not given to it on purpose, they only slow it down
    cppcheck --quiet -j "$jobs" --std=c11 --enable=warning,portability,performance --inline-suppr \
        --error-exitcode=1 --cppcheck-build-dir=build/lint/cppcheck -I. -D_GNU_SOURCE \
        --include=tests/lint/cppcheck.h \
        --suppress=missingInclude --suppress=missingIncludeSystem \
        --template='{file}:{line}: {severity}: {message} [{id}]' "${product[@]}"
}

shell_scripts() {
    local file bad=0
    while read -r file; do
        case $(head -n 1 "$file") in
        *bash*) bash -n "$file" || bad=1 ;;
        *sh*) sh -n "$file" || bad=1 ;;
        esac
    done < <(find deploy tests cli .ci -type f \( -name '*.sh' -o -path '.ci/run' \) | sort)
    return $bad
}

shellcheck_all() {
    find deploy tests cli .ci -type f \( -name '*.sh' -o -path '.ci/run' \) -print0 | xargs -0 shellcheck --severity=warning
}

# As modules, whatever the name ends in: what a package.json above says does not count.
scripts() {
    local file bad=0
    while read -r file; do
        node --input-type=module --check <"$file" || { echo "in $file" && bad=1; }
    done < <(find console tests -name node_modules -prune -o -type f \( -name '*.js' -o -name '*.mjs' \) -print | sort)
    return $bad
}

check rules python3 tests/lint/rules.py
if has_pinned clang-format; then check format format; else skip format "clang-format $pinned is not here"; fi
check headers make --no-print-directory -k -j "$jobs" lint-alone
check shell shell_scripts
if command -v shellcheck >/dev/null; then check shellcheck shellcheck_all; else skip shellcheck "not here"; fi
if command -v node >/dev/null; then check scripts scripts; else skip scripts "node is not here"; fi
check cppcheck cppcheck_all
# Needs the objects: a source that includes a changed header is looked at again.
if has_pinned clang-tidy; then
    check clang-tidy make --no-print-directory -k -j "$jobs" lint-tidy
else
    skip clang-tidy "clang-tidy $pinned is not here"
fi
check state python3 tests/lint/rules.py --state
check clang make --no-print-directory -k -j "$jobs" FLAVOR=clang objects
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
