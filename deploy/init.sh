#!/bin/sh
# Makes the secrets of compose.yaml that are missing, each readable by the container that needs it alone. What is there stays.
set -eu
umask 077
cd /secrets
mkdir -p postgres postern grafana

random() { head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

# make FILE COMMAND... writes what the command prints, whole or not at all.
make() {
	file="$1"
	shift
	[ -s "$file" ] && return
	"$@" >"$file.new"
	mv "$file.new" "$file"
	echo "made secrets/$file"
}

url() { printf 'postgres://postern:%s@postgres/postern\n' "$(cat postgres/postgres_password)"; }
key() { head -c 32 /dev/urandom | base64; }

make postgres/postgres_password random
make postern/database_url url
make postern/master.key key
make grafana/admin_password random

# The users of the three images: postgres, Dockerfile's, grafana.
chown -R postgres:postgres postgres
chown -R 65532:65532 postern
chown -R 472:472 grafana
