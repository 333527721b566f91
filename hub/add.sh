#!/bin/sh
# Add the tap and the loader of this clone to the Meltano project in the current folder, or upgrade them there:
#   sh path/to/clone/hub/add.sh [tap-payments] [target-postgres]
# They are installed from the clone's `origin`, at the commit that is checked out; a repository without one is installed
# from its own folder. An upgrade keeps the project's settings, selection and metadata.
set -eu
hub=$(cd "$(dirname "$0")" && pwd)
url=$(git -C "$hub" config remote.origin.url) || url=$(git -C "$hub" rev-parse --show-toplevel)
case $url in
*://*) ;;
/*) url=file://$url ;;
*:*) url=ssh://${url%%:*}/${url#*:} ;;
esac
pip_url=git+$url@$(git -C "$hub" rev-parse HEAD)
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
test $# -gt 0 || set -- tap-payments target-postgres
for plugin; do
  case $plugin in
  target-postgres) suffix='#subdirectory=load/target-postgres' ;;
  *) suffix= ;;
  esac
  cp "$hub/$plugin.yml" "$folder"
  echo "pip_url: $pip_url$suffix" >> "$folder/$plugin.yml"
  meltano add "$plugin" --from-ref "$folder/$plugin.yml"
done
