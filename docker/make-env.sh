#!/bin/sh
# Prints a .env with secrets that nobody else has:  docker/make-env.sh >.env
# Letters and digits only in passwords: they are parts of URLs.
set -eu
umask 077
random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }
for name in POSTGRES STORE SERVICES BANK REDIS_WEB REDIS_RELAY REDIS_WORKER REDIS_SERVICES REDIS_FLOWER REDIS_OPERATOR; do
    echo "SUREFOOT_${name}_PASSWORD=$(random 32)"
done
for name in API_KEY SECRET EVENTS_SECRET; do echo "SUREFOOT_$name=$(random 32)"; done
echo "SUREFOOT_FLOWER_BASIC_AUTH=surefoot:$(random 16)"
