import Testing

@testable import Runtimes

@Suite struct LayerAttributesTests {
    private let shifted = LayerAttributes(users: IdentifierRange(first: 0x7800_0000))
    private let plain = LayerAttributes()

    private static func bytes(_ number: UInt32, _ count: Int = 4) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    @Test(
        arguments: [
            (0x7800_0000, 0), (0x7800_03e8, 1000), (0x7800_ffff, 65535), (0x7801_0000, 65534), (0, 65534),
            (1000, 65534),
            (UInt32.max, 65534),
        ] as [(UInt32, UInt32)])
    func `owners are those inside, and those that are not there are nobody`(outside: UInt32, inside: UInt32) {
        #expect(shifted.inside(outside) == inside)
        #expect(plain.inside(outside) == outside, "without a user namespace ids are what they are")
    }

    @Test func `an access list names users and groups inside, or is left out`() {
        func list(_ user: UInt32, _ group: UInt32) -> [UInt8] {
            let entries: [(tag: UInt32, id: UInt32)] = [
                (1, .max), (2, user), (4, .max), (8, group), (16, .max), (32, .max),
            ]
            return Self.bytes(2) + entries.flatMap { Self.bytes($0.tag, 2) + [7, 0] + Self.bytes($0.id) }
        }
        let name = "system.posix_acl_access"
        #expect(shifted.kept(name, list(0x7800_0001, 0x7800_0002), isFolder: false) == list(1, 2))
        #expect(shifted.kept(name, list(1, 0x7800_0002), isFolder: false) == nil, "a user of the machine")
        #expect(plain.kept(name, list(5, 6), isFolder: false) == list(5, 6))
        for broken in [[], Self.bytes(2, 3), Self.bytes(1), list(0, 0).dropLast(), list(0, 0) + [0]] {
            #expect(plain.kept(name, Array(broken), isFolder: false) == nil)
        }
    }

    @Test func `a file capability belongs to whichever root the sandbox has`() {
        let name = "security.capability", masks = (0..<16).map { UInt8($0) }
        let second = Self.bytes(0x0200_0001) + masks
        func third(_ root: UInt32) -> [UInt8] { Self.bytes(0x0300_0001) + masks + Self.bytes(root) }
        #expect(shifted.kept(name, third(0x7800_0000), isFolder: false) == second)
        #expect(shifted.kept(name, second, isFolder: false) == second)
        for other in [
            third(0x7800_0001), third(0), third(0x7800_0000).dropLast(), second + [0], [], Self.bytes(0x0100_0000),
        ] {
            #expect(shifted.kept(name, Array(other), isFolder: false) == nil)
        }
        #expect(plain.kept(name, third(0), isFolder: false) == second)
    }

    @Test(arguments: [
        ("trusted.overlay.opaque", "y", true, true), ("trusted.overlay.opaque", "y", false, false),
        ("trusted.overlay.opaque", "x", true, false), ("trusted.overlay.opaque", "", true, false),
        ("trusted.overlay.redirect", "/", true, false), ("trusted.overlay.metacopy", "", false, false),
        ("trusted.overlay.whiteout", "y", false, false), ("trusted.overlay.origin", "y", true, false),
        ("user.overlay.opaque", "y", true, false), ("user.overlay.redirect", "/etc", true, false),
        ("user.note", "y", true, true), ("security.selinux", "y", true, false), ("trusted.other", "y", false, false),
    ])
    func `only that a folder hides another is kept of what overlayfs obeys`(
        name: String, value: String, isFolder: Bool, isKept: Bool
    ) {
        let value = Array(value.utf8)
        #expect(shifted.kept(name, value, isFolder: isFolder) == (isKept ? value : nil))
    }
}
