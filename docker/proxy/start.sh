#!/bin/sh
# TLS where /tls has a certificate and its key (fullchain.pem, privkey.pem), else plain HTTP, for this machine or behind another proxy.
set -eu
if [ -s /tls/fullchain.pem ] && [ -s /tls/privkey.pem ]; then
    cat >/tmp/listen.conf <<'CONF'
listen 8080 ssl;
ssl_certificate /tls/fullchain.pem;
ssl_certificate_key /tls/privkey.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_cache shared:tls:2m;
error_page 497 =308 https://$http_host$request_uri;
CONF
else
    echo 'listen 8080;' >/tmp/listen.conf
fi
rm -f /tmp/health.sock
exec nginx -e stderr -c /etc/surefoot/nginx.conf -g 'daemon off;'
