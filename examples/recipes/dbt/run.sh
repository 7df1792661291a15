#!/bin/sh
# Load, transform, deliver. Whatever step fails, the whole is simply run again.
set -eu
# dbt has no lock of its own: a second one would build the same models beside the first.
exec 9<"$0"
flock -n 9 || exit 3
cd "$(dirname "$0")"

floodmark run orders
dbt build --profiles-dir . --quiet
floodmark run revenue
