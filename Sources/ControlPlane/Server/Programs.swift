import Egress
import Ingress
import Logging
import NIOCore
import NIOPosix

/// The guard in a process of its own.
public final class EgressProgram: Sendable {
    public let adminSocket: String
    private let node: EgressNode
    private let lock: InstanceLock

    public init(settings: Settings, logger: Logger) async throws {
        try Folders.make(settings)
        lock = try InstanceLock(settings, role: "guard")
        adminSocket = settings.egressAdminSocket
        node = try await EgressNode(configuration: EgressPlane.configuration(settings, logger: logger), logger: logger)
    }

    public func shutdown() async { await node.shutdown() }
}

/// The gateway in a process of its own: it reads the server's store, and follows it.
public final class IngressProgram: Sendable {
    public let port: Int
    private let gateway: Gateway
    private let follower: Task<Void, Never>

    public init(settings: Settings, logger: Logger) async throws {
        try Folders.make(settings)
        let secrets = try Secrets.load(settings)
        let routes = RouteTable(policySocket: settings.policySocket, credentialKey: secrets.credentialKey)
        let directory = StoreFollower(
            store: try SQLiteStore(path: settings.database), routes: routes, logger: logger)
        try await directory.refresh()
        gateway = Gateway(
            configuration: .init(settings, keys: secrets.keys), directory: routes,
            group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        port = try await gateway.start().port ?? 0
        follower = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await directory.follow() }
                group.addTask { await secrets.keyFile?.follow(secrets.keys, logger) }
            }
        }
    }

    public func shutdown() async {
        follower.cancel()
        await gateway.shutdown()
    }
}
