import NIOCore
import NIOPosix
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a client's readiness check connects to: before it uses code contexts, the official client waits until something
/// listens on the port that Jupyter has in the reference's image. Connections are closed as they come.
enum ReadinessListener {
    static let standardPort = 44771

    /// Listens on loopback where no Jupyter will: none is configured, none is installed, and the port is free.
    static func start(_ environment: [ExactName: String], on group: any EventLoopGroup) async {
        guard let port = port(environment, hasProgram: programs(environment)),
            // Not a name: in a static executable to look one up would load the C library's name services.
            let address = try? SocketAddress(ipAddress: "127.0.0.1", port: port)
        else { return }
        _ = try? await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { $0.close() }
            .bind(to: address).get()
    }

    /// The port to listen on; nil for none.
    static func port(_ environment: [ExactName: String], hasProgram: (String) -> Bool) -> Int? {
        guard environment["JUPYTER_HOST"] == nil, environment["JUPYTER_TOKEN"] == nil else { return nil }
        guard !["jupyter", "jupyter-server", "jupyter-notebook", "jupyter-lab"].contains(where: hasProgram) else {
            return nil
        }
        guard let text = environment["JUPYTER_PORT"] else { return standardPort }
        return Int(text).flatMap { (1...65535).contains($0) ? $0 : nil }
    }

    /// Whether no Jupyter is to be expected in a sandbox with this environment.
    static func isWanted(_ environment: [ExactName: String]) -> Bool {
        port(environment, hasProgram: programs(environment)) != nil
    }

    private static func programs(_ environment: [ExactName: String]) -> (String) -> Bool {
        let folders = (environment["PATH"] ?? ProcessSpec.defaultPath).split(separator: ":")
        return { name in folders.contains { access("\($0)/\(name)", X_OK) == 0 } }
    }
}
