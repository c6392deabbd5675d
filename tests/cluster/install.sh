#!/usr/bin/env bash
# The programs of a SLURM cluster, for tests/cluster: Debian's own packages, and none of their services is started.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/usr/local/sbin:/sbin
packages="slurmctld slurmd slurmdbd slurm-client munge mariadb-server-core mariadb-client-core"
missing() {
    for program in slurmctld slurmd slurmdbd srun sbatch sacctmgr munged mariadbd mariadb-install-db; do
        command -v $program >/dev/null || echo -n " $program"
    done
}
[ -n "$(missing)" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "SLURM is not installed (no$(missing)); as root type: apt-get install --no-install-recommends $packages" >&2
    exit 1
fi
policy=/usr/sbin/policy-rc.d # what packages ask before they start a service
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
echo "installing SLURM for the tests"
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1 || [ -n "$(missing)" ]; then
    tail -n 5 "$log" >&2
    echo "SLURM could not be installed (no$(missing)): nothing was tested on a cluster" >&2
    exit 1
fi
rm -f "$log"
