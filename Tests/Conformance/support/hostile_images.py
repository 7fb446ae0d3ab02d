"""Images whose layers no honest tool writes, made byte by byte: an OCI layout of tar files."""

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile

BUSYBOX = "/bin/busybox"
# VFS_CAP_REVISION_2 with the effective bit, and cap_net_admin, which no sandbox has.
NET_ADMIN = b"\x01\x00\x00\x02" + (1 << 12).to_bytes(4, "little") + bytes(12)


class Layer:
    """Entries in the order in which they are added."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, *, content=b"", link="", device=(0, 0), mode=0o644, attributes=None):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode, entry.size = kind, link, mode, len(content)
        entry.devmajor, entry.devminor = device
        # As bytes: tarfile writes what it is given, also where it is no UTF-8.
        entry.pax_headers = {f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape")
                             for key, value in (attributes or {}).items()}
        self.tar.addfile(entry, io.BytesIO(content))
        return self

    def folder(self, name, **more):
        return self.add(name, tarfile.DIRTYPE, mode=0o755, **more)

    def link(self, name, target):
        return self.add(name, tarfile.SYMTYPE, link=target, mode=0o777)

    def hard_link(self, name, target):
        return self.add(name, tarfile.LNKTYPE, link=target)

    def finished(self):
        self.tar.close()
        return self.bytes.getvalue()


def base_layer():
    """A static shell, and room for what the server mounts."""
    layer = Layer()
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "root"):
        layer.folder(name)
    with open(BUSYBOX, "rb") as program:
        layer.add("bin/busybox", content=program.read(), mode=0o755)
    return layer.link("bin/sh", "busybox")


def write_layout(folder, layers):
    """The layout as `oci:` wants it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    tars = [layer.finished() for layer in layers]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    config = {"architecture": machine, "os": "linux", "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
              "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "config.v1+json"),
                "layers": [blob(gzip.compress(tar, 1), "layer.v1.tar+gzip") for tar in tars]}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "image"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"{folder}:image"


def special_files(canary):
    """Every kind of entry that is more than a file, a folder or a link within the tree; `canary` is a folder of the host's."""
    up = "../" * 12
    below = (Layer().folder("gone").add("gone/file").folder("opaque").add("opaque/old").folder("kept").add("kept/file")
             .add("hidden", content=b"seen\n").add("secret", content=b"of the image\n", mode=0o600))
    above = (
        Layer()
        # Nodes. 0:0 is what overlayfs takes for "there is no such file".
        .add("nodes/fuse", tarfile.CHRTYPE, device=(10, 229), mode=0o666).add("nodes/tun", tarfile.CHRTYPE, device=(10, 200), mode=0o666)
        .add("nodes/loop", tarfile.BLKTYPE, device=(7, 7), mode=0o666).add("nodes/null", tarfile.CHRTYPE, device=(1, 3), mode=0o666)
        .add("nodes/pipe", tarfile.FIFOTYPE).add("hidden", tarfile.CHRTYPE, device=(0, 0)).add("dev/sda", tarfile.BLKTYPE, device=(8, 0))
        # Whiteouts.
        .add(".wh.gone").add("opaque/.wh..wh..opq").add("opaque/new", content=b"new\n")
        # Links within the tree and out of it.
        .hard_link("linked", "secret").hard_link("linked-absolute", "/secret").hard_link("linked-up", f"{up}secret")
        .link("way-out", str(canary)).link("way-up", up + str(canary).lstrip("/"))
        .add("way-out/through-a-link", content=b"x").add("way-up/through-a-link", content=b"x")
        # Names.
        .add("/absolute", content=b"x").add(f"{up}{str(canary).lstrip('/')}/upwards", content=b"x").add("kept/../beside", content=b"x")
        .add("etc/latin1-\udce9", content=b"x")
        # Rights.
        .add("set-id", content=b"#!/bin/sh\n", mode=0o6755)
        .add("busybox-capable", content=open(BUSYBOX, "rb").read(), mode=0o755, attributes={"security.capability": NET_ADMIN})
        # Attributes, of which overlayfs would obey some.
        .folder("redirected", attributes={"trusted.overlay.redirect": b"/kept", "user.overlay.redirect": b"/kept"})
        .folder("kept", attributes={"trusted.overlay.opaque": b"y", "trusted.mine": b"1"})
        .add("noted", content=b"x", attributes={"user.note": b"fine", "user.overlay.metacopy": b"y", "trusted.overlay.metacopy": b""})
    )
    return [base_layer(), below, above]


def impossible(canary):
    """Layers that cannot be obeyed, each an image of its own: whiteouts of what no file is called, which reach for the folder
    above, and links to the host's files. They may fail, but must stay where they are.
    """
    odd = (".wh...", ".wh..", ".wh.", "in/.wh...", "in/../.wh...", "../.wh.x", "../../.wh.work")
    images = {f"whiteout {name}": Layer().add(name) for name in odd}
    images["hard link through a link"] = Layer().link("way", str(canary)).hard_link("stolen", "way/secret")
    images["hard link out of the tree"] = Layer().hard_link("stolen", f"{'../' * 12}{str(canary).lstrip('/')}/secret")
    images["hard link to the host's own"] = Layer().hard_link("stolen", f"{canary}/secret")
    return {name: [base_layer().folder("in").add("in/file"), layer] for name, layer in images.items()}
