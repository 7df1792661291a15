#!/bin/sh
# Adds an alert to a file: a line for people, and all of it for programs.
set -eu
printf '%s: %s\n' "$FLOODMARK_ALERT_EVENT" "$FLOODMARK_ALERT_TEXT" >> "$1"
cat >> "$1"
echo >> "$1"
