import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A network namespace, identified by the file that it is mounted on.
public struct NetworkNamespace: Hashable, Sendable {
    /// The default folder of namespaces. It is not the folder of `ip netns`, which bind-mounts its folder onto itself
    /// and so covers every mount made there before.
    public static let folder = "/run/sallyport-netns"

    public let path: String

    /// An existing namespace; nothing is checked here.
    public init(existing path: String) { self.path = path }

    /// Creates a namespace with loopback up. `ip netns add NAME; ip -n NAME link set lo up`
    ///
    /// - Parameter folder: created if missing, for root only, since names in it may be secret.
    public static func create(
        named name: String, in folder: String = Self.folder
    ) throws(NetfilterError) -> NetworkNamespace {
        guard !name.isEmpty, !name.contains("/"), name != ".", name != ".." else {
            throw .invalid("\"\(name)\" is not a valid name for a network namespace")
        }
        let namespace = NetworkNamespace(existing: folder + "/" + name)
        mkdir(folder, 0o700)
        let file = open(namespace.path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o444)
        guard file >= 0 else { throw .last("making \(namespace.path)") }
        close(file)
        do throws(NetfilterError) {
            // The thread enters the namespace and then ends, so nothing has to be restored.
            try onOwnThread { () throws(NetfilterError) in
                guard linux_unshare(LINUX_NEWNET) == 0 else { throw .last("making a network namespace") }
                guard linux_mount("/proc/thread-self/ns/net", namespace.path, nil, UInt(MS_BIND), nil) == 0 else {
                    throw .last("mounting \(namespace.path)")
                }
                try RouteSocket().setLoopbackUp()
            }
        } catch {
            try? namespace.delete()
            throw error
        }
        return namespace
    }

    /// Names the namespace that a process is in. `ip netns attach NAME PID`
    public func attach(process: pid_t) throws(NetfilterError) {
        mkdir(path.splitAtLastSlash.folder, 0o700)
        let file = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o444)
        guard file >= 0 else { throw .last("making \(path)") }
        close(file)
        guard linux_mount("/proc/\(process)/ns/net", path, nil, UInt(MS_BIND), nil) == 0 else {
            throw .last("mounting \(path)")
        }
    }

    /// Whether a namespace is mounted there, rather than just a file left behind.
    public var exists: Bool {
        let nsfsMagic: Int64 = 0x6e73_6673
        return linux_filesystem_type(path) == nsfsMagic
    }

    /// Removes the name. The namespace ends with its last process and descriptor. Does nothing if there is none.
    ///
    /// This works even if other programs have mounted something over the name, its folder or one above.
    public func delete() throws(NetfilterError) {
        while linux_unmount_detached(path) == 0 {}
        if unlink(path) == 0 { return }
        guard errno != ENOENT || BuriedName.isMounted(path) else { return }
        guard errno == ENOENT || errno == EBUSY else { throw .last("removing \(path)") }
        let path = self.path
        try Self.onOwnThread { () throws(NetfilterError) in try BuriedName.remove(path) }
    }

    /// Runs `body` on a thread inside the namespace. Descriptors that it opens stay bound to the namespace.
    public func run<Result: Sendable>(_ body: @Sendable () throws -> Result) throws -> Result {
        let path = self.path
        return try Self.onOwnThread { () throws(any Error) -> Result in
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw NetfilterError.last("opening \(path)") }
            defer { close(descriptor) }
            guard linux_setns(descriptor, LINUX_NEWNET) == 0 else { throw NetfilterError.last("entering \(path)") }
            return try body()
        }
    }

    /// Runs on a temporary thread, so that an error cannot leave a shared thread in the wrong namespace.
    private static func onOwnThread<Result: Sendable, Failure: Error>(
        _ body: @Sendable () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // The caller waits for the thread, so the closure does not outlive this call.
        try withoutActuallyEscaping(body) { body throws(Failure) in
            let box = ThreadBox<Result, Failure>(body)
            var thread = pthread_t()
            let argument = Unmanaged.passRetained(box).toOpaque()
            let status = pthread_create(
                &thread, nil,
                { argument in
                    Unmanaged<AnyThreadBox>.fromOpaque(argument!).takeRetainedValue().work()
                    return nil
                }, argument)
            precondition(status == 0, "cannot create a thread")
            pthread_join(thread, nil)
            return try box.result!.get()
        }
    }
}

private class AnyThreadBox {
    func work() {}
}

private final class ThreadBox<Value, Failure: Error>: AnyThreadBox {
    private var body: (() throws(Failure) -> Value)?
    private(set) var result: Result<Value, Failure>?

    init(_ body: @escaping () throws(Failure) -> Value) { self.body = body }

    override func work() {
        result = Result(catching: body!)
        body = nil
    }
}
