import Addresses
import Foundation
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

@Suite struct MachineLocksTests {
    private let folder = TemporaryFolder("locks")
    private var locks: MachineLocks { MachineLocks(folder: folder.path + "/locks") }

    private func local(_ tag: String, _ pool: String, _ poolV6: String) -> Settings.Local {
        var local = Settings.Local()
        (local.tag, local.addressPool, local.addressPoolV6) = (tag, CIDRBlock(pool)!, CIDRBlock(poolV6)!)
        return local
    }

    @Test(arguments: [
        ("one", "10.1.0.0/16", "fd00:1::/64", "tag"), ("two", "10.0.0.0/24", "fd00:1::/64", "address_pool"),
        ("two", "10.0.128.0/17", "fd00:1::/64", "address_pool"), ("two", "10.0.0.0/8", "fd00:1::/64", "address_pool"),
        // The links of "on" and "one": the 500th of the shorter tag has the name of one of the longer's.
        ("on", "10.1.0.0/16", "fd00:1::/64", "tag"), ("one1", "10.1.0.0/16", "fd00:1::/64", "tag"),
        ("two", "10.1.0.0/16", "fd00::/64", "address_pool_v6"), ("two", "10.1.0.0/16", "fd00::/48", "address_pool_v6"),
    ]) func `what another has is refused, with the setting to change`(
        _ tag: String, _ pool: String, _ poolV6: String, _ key: String
    ) throws {
        let first = try locks.take(local("one", "10.0.0.0/16", "fd00::/64"))
        let error = try #require(throws: ConfigurationError.self) { try locks.take(local(tag, pool, poolV6)) }
        #expect("\(error) ".contains("local.\(key) ") && "\(error)".contains("(process \(getpid()))"), "\(error)")
        withExtendedLifetime(first) {}
        // The one that was refused has taken nothing that it would keep from a third.
        let third = try locks.take(local("two", "10.1.0.0/16", "fd00:1::/64"))
        withExtendedLifetime(third) {}
    }

    /// It was closed twice, and between the two closes another thread got its number.
    @Test func `a lock that is refused closes nothing of others`() async throws {
        let path = folder.path + "/taken"
        let lock = try InstanceLock(path: path)
        let isLooking = Mutex(true)
        async let broken = Task.detached {
            var broken = 0
            while isLooking.withLock({ $0 }) {
                let mine = (0..<8).map { _ in open("/dev/null", O_RDONLY | O_CLOEXEC) }
                for descriptor in mine where close(descriptor) != 0 { broken += 1 }
            }
            return broken
        }.value
        for _ in 0..<20_000 {
            #expect(throws: InstanceLock.Taken.self) { try InstanceLock(path: path) }
        }
        isLooking.withLock { $0 = false }
        #expect(await broken == 0)
        withExtendedLifetime(lock) {}
    }

    @Test func `what has ended holds nothing, and what differs in everything goes side by side`() throws {
        for _ in 0..<3 { _ = try locks.take(local("one", "10.0.0.0/16", "fd00::/64")) }
        let first = try locks.take(local("one", "10.0.0.0/16", "fd00::/64"))
        let second = try locks.take(local("two", "10.1.0.0/16", "fd00:0:0:1::/64"))
        withExtendedLifetime((first, second)) {}
    }

    /// A child that another test starts meanwhile has this process's descriptors, and with them its locks, until it comes to its exec.
    private func removed(_ isGone: () throws -> Bool) async throws -> Bool {
        try await eventually {
            locks.removeIfUnused()
            return try isGone()
        }
    }

    @Test func `the folder goes with the last server's locks`() async throws {
        let held = try locks.take(local("one", "10.0.0.0/16", "fd00::/64"))
        _ = try locks.take(local("two", "10.1.0.0/16", "fd00:0:0:1::/64"))
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: locks.folder) }
        #expect(try await removed { try !names().contains { $0.hasSuffix("-tag-two") } })
        #expect(try names().contains { $0.hasSuffix("-tag-one") })
        #expect(throws: ConfigurationError.self) { try locks.take(local("one", "10.2.0.0/16", "fd00:0:0:2::/64")) }
        withExtendedLifetime(held) {}
    }

    @Test func `a lock on a file that has been removed since is not taken for one on its successor`() throws {
        let path = folder.path + "/gate"
        let first = try InstanceLock(path: path)
        #expect(first.isAt(path))
        try FileManager.default.removeItem(atPath: path)
        #expect(!first.isAt(path))
        let second = try InstanceLock(path: path)
        #expect(second.isAt(path) && !first.isAt(path))
    }

    @Test func `nothing is left of servers that have ended`() async throws {
        _ = try locks.take(local("one", "10.0.0.0/16", "fd00::/64"))
        #expect(try await removed { !FileManager.default.fileExists(atPath: locks.folder) })
        _ = try locks.take(local("one", "10.0.0.0/16", "fd00::/64"))
    }

    @Test(arguments: ["10.0.0.0/16", "10.0.0.0/28", "fd5a:1179::/64", "fd00::/96"])
    func `a pool is known by its file's name`(_ text: String) {
        let block = CIDRBlock(text)!
        #expect(MachineLocks.block(MachineLocks.name(block)) == block && !MachineLocks.name(block).contains("/"))
    }

    @Test func `a folder that others may write to is not trusted`() throws {
        try FileManager.default.createDirectory(atPath: locks.folder, withIntermediateDirectories: true)
        #expect(chmod(locks.folder, 0o777) == 0)
        #expect(throws: ConfigurationError.self) { try locks.take(Settings.Local()) }
    }
}
