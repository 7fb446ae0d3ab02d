import Egress
import EgressRemote
import HTTPClient
import HTTPServer
import Runtimes

/// What a server needs to make sandboxes and to have them reached.
enum ServerReadiness {
    static func checks(
        runtime: any SandboxRuntime, controller: any NamespaceController, store: any ServerStore, health: PartsHealth,
        settings: Settings, hasGateway: Bool
    ) -> [ReadinessCheck] {
        let parts = [Part.egress, .gateway].map { part in
            ReadinessCheck(part.rawValue) {
                if health.down.contains(part) { return "its process does not serve" }
                return part == .egress ? await controller.obstacle : nil
            }
        }
        let others = [
            ReadinessCheck("runtime") { await problem { () throws(RuntimeError) in try await runtime.checkReady() } },
            ReadinessCheck("disk") { await problem { () throws(RuntimeError) in try await runtime.checkSpace() } },
            ReadinessCheck("store") { await problem { () throws(StoreError) in try await store.checkWrite() } },
        ]
        // In one process the gateway looks into the server's own table.
        return parts + others + (hasGateway ? [directory(settings.gatewayMetricsSocket)] : [])
    }

    /// Whether the gateway knows where sandboxes are.
    private static func directory(_ socket: String) -> ReadinessCheck {
        let client = GuardHTTPClient(address: .unix(path: socket), timeoutMilliseconds: 1000)
        return ReadinessCheck("directory") {
            do throws(EgressError) {
                let answer = try await client.send("GET", "/ready")
                return answer.status == 200 ? nil : "the gateway does not follow it"
            } catch { return "the gateway does not say: \(error)" }
        }
    }

    private static func problem<Failure: Error>(
        _ look: () async throws(Failure) -> Void
    ) async -> String? {
        do throws(Failure) {
            try await look()
            return nil
        } catch { return "\(error)" }
    }
}
