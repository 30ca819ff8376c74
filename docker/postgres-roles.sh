#!/bin/sh
# Runs once, when the database is made: a role for the store, one for the services, one for the bank, each with schemas of its own.
# None of them is a superuser, and none sees the others' tables.
set -eu
psql -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB" \
    -v store="$SUREFOOT_STORE_PASSWORD" -v services="$SUREFOOT_SERVICES_PASSWORD" -v bank="$SUREFOOT_BANK_PASSWORD" <<'SQL'
CREATE ROLE surefoot_store LOGIN PASSWORD :'store';
CREATE ROLE surefoot_services LOGIN PASSWORD :'services';
CREATE ROLE surefoot_bank LOGIN PASSWORD :'bank';

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO surefoot_store, surefoot_services, surefoot_bank', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE SCHEMA store AUTHORIZATION surefoot_store;
CREATE SCHEMA order_service AUTHORIZATION surefoot_services;
CREATE SCHEMA inventory_service AUTHORIZATION surefoot_services;
CREATE SCHEMA payment_service AUTHORIZATION surefoot_services;
CREATE SCHEMA mail_service AUTHORIZATION surefoot_services;
CREATE SCHEMA bank_service AUTHORIZATION surefoot_bank;
ALTER ROLE surefoot_store SET search_path = store;
ALTER ROLE surefoot_bank SET search_path = bank_service;
SQL
