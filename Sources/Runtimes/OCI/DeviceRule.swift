/// A line of a control group's device list (OCI runtime specification, `linux.resources.devices`). The OCI runtime makes a
/// list of version 1, or a program of version 2, of the same lines.
struct DeviceRule: Codable, Hashable, Sendable {
    var allow: Bool
    /// Character or block device; `a` for both.
    var type: String
    /// nil for all.
    var major: Int?
    var minor: Int?
    var access: String

    /// Nothing, but the nodes that the OCI runtime puts into every `/dev`. Whatever node a sandbox finds or is given
    /// elsewhere, the kernel does not open it.
    ///
    /// The runtimes add what they need to make the nodes (`c *:* m`, which opens none), and runc before 1.2 adds
    /// `/dev/net/tun`: there the mounts' `nodev` and the missing CAP_MKNOD stand alone.
    static let sandbox: [DeviceRule] =
        [DeviceRule(allow: false, type: "a", access: "rwm")]
        + usual.map { DeviceRule(allow: true, type: "c", major: $0.major, minor: $0.minor, access: "rwm") }

    /// Numbers of the kernel's Documentation/admin-guide/devices.txt.
    private static let usual: [(major: Int, minor: Int?)] = [
        (1, 3),  // null
        (1, 5),  // zero
        (1, 7),  // full
        (1, 8),  // random
        (1, 9),  // urandom
        (5, 0),  // tty: the caller's own terminal
        (5, 2),  // ptmx: of the sandbox's own devpts
        (136, nil),  // the terminals in it
    ]
}
