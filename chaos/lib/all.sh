# shellcheck shell=bash
# Everything but the target, which run.sh chooses.
# shellcheck source-path=SCRIPTDIR
lib=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$lib/common.sh"
source "$lib/options.sh"
source "$lib/json.sh"
source "$lib/record.sh"
source "$lib/verdict.sh"
source "$lib/run.sh"
