#!/bin/sh
# The secrets of .env.example are known to everybody: refused wherever others than this machine can reach us.
set -eu
named=""
for name in POSTGRES_PASSWORD STORE_PASSWORD SERVICES_PASSWORD BANK_PASSWORD \
    REDIS_WEB_PASSWORD REDIS_RELAY_PASSWORD REDIS_WORKER_PASSWORD REDIS_SERVICES_PASSWORD REDIS_FLOWER_PASSWORD REDIS_OPERATOR_PASSWORD \
    API_KEY SECRET EVENTS_SECRET FLOWER_BASIC_AUTH; do
    eval "value=\${SUREFOOT_$name-}"
    case "$value" in *example*) named="$named SUREFOOT_$name" ;; esac
done
if [ -z "$named" ]; then exit 0; fi
case "${SUREFOOT_PUBLISHED_ON:-}" in
    127.*|::1|"[::1]"|localhost) echo "Secrets of .env.example, which everybody knows, for a try on this machine only:$named" ;;
    *)
        echo "Secrets of .env.example, which everybody knows, and SUREFOOT_PUBLISH_ON is ${SUREFOOT_PUBLISHED_ON:-not loopback}. Make your own (docker/make-env.sh):$named" >&2
        exit 1
        ;;
esac
