"""Where files lie: SQLite loses data on file systems whose locks do not reach all machines."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# File systems whose locks do not reach all the machines that see them.
NETWORK = {
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "orangefs",
        "pvfs2",
    ),
    *(
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.ceph",
    ),
}


def network(path: Path) -> str | None:
    """The type of the network file system that a path is on, or would be; None on a local one, and where the system
    does not tell."""
    found = file_system(path)
    return found if found in NETWORK else None


def file_system(path: Path) -> str:
    """The type of the file system that a path is on, or would be; empty where the system does not tell."""
    if not MOUNTS.exists():
        return ""
    found = ("", "")
    for line in MOUNTS.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        place = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), before.split()[4])
        if path.resolve().is_relative_to(place) and len(place) >= len(found[0]):
            found = place, after.split()[0]
    return found[1]
