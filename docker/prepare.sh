#!/bin/sh
# What runs once before everything else: the store's shape, the first key, the first stock. Run again, it changes nothing.
set -eu
surefoot db upgrade
surefoot stock --seed
