import CLinux
import System
import Testing

@testable import Supervision

#if canImport(Glibc)
    import Glibc
#endif

/// Landlock binds a thread and what it starts, so that each test has one of its own.
@Suite struct ReachTests {
    static let hasLandlock = ![-ENOSYS, -EOPNOTSUPP].contains(onThread { linux_reach_only([nil], [nil], -1, 1) })

    /// What a thread answers that ends then.
    private static func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) -> Value {
        let pool = WorkerPool(maxThreads: 1), done = Semaphore(), box = Box<Value>()
        pool.submit {
            box.value = body()
            done.signal()
        }
        done.wait()
        return box.value!
    }

    private final class Box<Value>: @unchecked Sendable { var value: Value? }

    /// The errno with which a file is opened, or 0.
    private static func opening(_ path: String, _ flags: CInt = O_RDONLY) -> CInt {
        let descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return errno }
        close(descriptor)
        return 0
    }

    @Test(.enabled(if: ReachTests.hasLandlock))
    func `Who is limited reads and writes what it was given, whoever it is, and nothing else`() throws {
        let folder = "/tmp/sallyport-reach-\(getpid())"
        for path in [folder, folder + "/own", folder + "/given", folder + "/seen", folder + "/other"] {
            #expect(mkdir(path, 0o700) == 0)
            if path != folder { #expect(Self.opening(path + "/file", O_CREAT | O_WRONLY) == 0) }
        }
        defer {
            for name in ["own", "given", "seen", "other"] {
                for file in ["file", "new"] { unlink("\(folder)/\(name)/\(file)") }
                rmdir("\(folder)/\(name)")
            }
            rmdir(folder)
        }
        let own = open(folder + "/own", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(own) }
        let found = Self.onThread { () -> [String: CInt]? in
            guard linux_set_no_new_privileges() == 0 else { return nil }
            let reach = Confinement.Reach(
                readable: [folder + "/seen", "/dev/null", "/nowhere"], writable: [folder + "/given"], folder: own)
            guard (try? Confinement.limit(to: reach)) == true else { return nil }
            return [
                "read": Self.opening(folder + "/seen/file"), "write": Self.opening(folder + "/seen/file", O_WRONLY),
                "make": Self.opening(folder + "/seen/new", O_CREAT | O_WRONLY),
                "write given": Self.opening(folder + "/given/file", O_WRONLY | O_TRUNC),
                "make given": Self.opening(folder + "/given/new", O_CREAT | O_WRONLY),
                "make own": Self.opening("/proc/self/fd/\(own)/new", O_CREAT | O_WRONLY),
                "read other": Self.opening(folder + "/other/file"), "read a file": Self.opening("/dev/null"),
                "link": symlink("/etc/passwd", folder + "/given/link") == 0 ? 0 : errno,
            ]
        }
        let denied = try #require(found)
        for allowed in ["read", "write given", "make given", "make own", "read a file"] {
            #expect(denied[allowed] == 0, "\(allowed)")
        }
        for refused in ["write", "make", "read other", "link"] { #expect(denied[refused] == EACCES, "\(refused)") }
    }
}
