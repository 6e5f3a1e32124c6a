# shellcheck shell=bash
# Everything, in the order in which it is needed.

# shellcheck source=lib/common.sh
source "$here/lib/common.sh"
# shellcheck source=lib/packages.sh
source "$here/lib/packages.sh"
# shellcheck source=lib/programs.sh
source "$here/lib/programs.sh"
# shellcheck source=lib/images.sh
source "$here/lib/images.sh"
# shellcheck source=lib/pki.sh
source "$here/lib/pki.sh"
# shellcheck source=lib/network.sh
source "$here/lib/network.sh"
# shellcheck source=lib/processes.sh
source "$here/lib/processes.sh"
# shellcheck source=lib/control_plane.sh
source "$here/lib/control_plane.sh"
# shellcheck source=lib/node.sh
source "$here/lib/node.sh"
# shellcheck source=lib/objects.sh
source "$here/lib/objects.sh"
# shellcheck source=lib/leftovers.sh
source "$here/lib/leftovers.sh"
