#!/bin/bash
# healthcheck PORT [PATH]: with a path an HTTP GET must answer 200, without one the port must take a connection.
# It uses bash's own sockets, so that the image needs no HTTP client.
port=$1
path=${2:-}
exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
[ -n "$path" ] || exit 0
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$path" >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
