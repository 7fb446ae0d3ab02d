import CLinux

/// An entry of a control group's device list (OCI runtime specification, `linux.resources.devices`), from which the OCI
/// runtime makes a version 1 list or a version 2 program.
struct DeviceRule: Codable, Hashable, Sendable {
    var allow: Bool
    /// Character or block device; `a` for both.
    var type: String
    /// nil for all.
    var major: Int?
    var minor: Int?
    var access: String

    /// Denies everything but the nodes that the OCI runtime puts into every `/dev`. The kernel does not open any other
    /// node, wherever a sandbox gets it from.
    ///
    /// Runtimes add what they need to create the nodes (`c *:* m`, which does not allow opening). crun also adds the
    /// console, and runc before 1.2 tun, which this list cannot prevent: `ControlGroup` takes them away.
    static let sandbox: [DeviceRule] =
        [DeviceRule(allow: false, type: "a", access: "rwm")]
        + usual.map { DeviceRule(allow: true, type: "c", major: $0.major, minor: $0.minor, access: "rwm") }

    /// The same list for a version 1 control group: what is written to which of its files, in this order.
    static let version1Lines: [(file: String, line: String)] =
        [("deny", "a")]
        + usual.map { ("allow", "c \($0.major):\($0.minor.map { "\($0)" } ?? "*") rwm") }

    /// Applies the same list to a version 2 control group and the groups in it, whatever the OCI runtime allows there.
    /// - Returns: 0 or a negative errno.
    static func limitVersion2(_ group: String) -> CInt {
        let allowed = usual.map {
            linux_device(is_block: 0, major: Int32($0.major), minor: $0.minor.map { Int32($0) } ?? -1)
        }
        return linux_limit_devices(group, allowed, CInt(allowed.count))
    }

    /// Whether a line of a version 1 list (`c 5:1 rwm`) lets a device be opened that is not in the list above.
    static func isAdded(_ line: some StringProtocol) -> Bool {
        let fields = line.split(whereSeparator: { $0 == " " || $0 == ":" })
        guard fields.count == 4, fields[3] != "m" else { return false }
        return !usual.contains {
            fields[0] == "c" && fields[1] == "\($0.major)" && fields[2] == $0.minor.map { "\($0)" } ?? "*"
        }
    }

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
