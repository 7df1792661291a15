#!/bin/sh
# Load, transform, deliver. Whatever step fails, the whole is simply run again.
set -eu
cd "$(dirname "$0")"

floodmark run orders
dbt build --profiles-dir . --quiet
floodmark run revenue
