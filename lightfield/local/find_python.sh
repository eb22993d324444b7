# Sourced by bin/*: sets $python to a Python that can run Lightfield, or ends with one clear line.
# LIGHTFIELD_PYTHON chooses one by hand.
python=
for candidate in ${LIGHTFIELD_PYTHON:+"$LIGHTFIELD_PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
        python=$candidate
        break
    elif [ "$candidate" = "${LIGHTFIELD_PYTHON:-}" ]; then
        break
    fi
done
if [ -z "$python" ]; then
    if [ -n "${LIGHTFIELD_PYTHON:-}" ]; then
        echo "lightfield: LIGHTFIELD_PYTHON=$LIGHTFIELD_PYTHON is not a Python 3.11, 3.12, 3.13 or 3.14." >&2
    else
        echo "lightfield: no Python 3.11, 3.12, 3.13 or 3.14 found; install one, or name it in LIGHTFIELD_PYTHON." >&2
    fi
    exit 1
fi
