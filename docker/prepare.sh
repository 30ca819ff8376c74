#!/bin/sh
# What runs once before everything else: the store's shape, the first key, the first stock. Run again, it changes nothing.
set -eu

case "${SUREFOOT_API_KEY}${SUREFOOT_SECRET}" in
    *example*)
        case "${SUREFOOT_PUBLISHED_ON:-}" in
            127.*|::1|"[::1]"|localhost) echo "The keys are those of .env.example, which everybody knows: for a try on this machine only." ;;
            *)
                echo "The keys are those of .env.example, which everybody knows, and SUREFOOT_PUBLISH_ON is ${SUREFOOT_PUBLISHED_ON:-not loopback}: make keys of your own." >&2
                exit 1
                ;;
        esac
        ;;
esac
surefoot db upgrade
surefoot stock --seed
