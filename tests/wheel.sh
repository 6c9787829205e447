#!/bin/sh
# Install the wheel in dist/ for one interpreter, and run tests of the sdist in dist/ against it, in a
# folder of their own without the package's source.
#   sh tests/wheel.sh PYTHON "TESTS"
set -eu
python=$1 tests=$2
dist=$(cd dist && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$python" -m venv "$folder/environment"
"$folder/environment/bin/python" -m pip install --quiet --disable-pip-version-check \
    "$(echo "$dist"/*.whl)[fast,plot,cli,test]"
mkdir "$folder/source"
tar --extract --gzip --file "$dist"/*.tar.gz --directory "$folder/source" --strip-components=1
rm -r "$folder/source/skweiper"

cd "$folder/source"
"$folder/environment/bin/python" -c 'import skweiper, sys; print(sys.version, skweiper.__file__)'
# Several paths, or options of pytest.
# shellcheck disable=SC2086
"$folder/environment/bin/python" -m pytest -q $tests
