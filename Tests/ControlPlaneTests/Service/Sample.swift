import Runtimes

@testable import ControlPlane

extension Sandbox {
    static func sample(_ id: String, at now: Timestamp = .now()) -> Sandbox {
        Sandbox(
            id: id, image: "sallyport/base:latest", entrypoint: ["sleep"], metadata: [:], extensions: [:],
            status: SandboxStatus(.running, reason: StatusReason.running, since: now), history: [], createdAt: now,
            expiresAt: nil, secureAccess: false, hasPolicy: false,
            network: SandboxNetwork(
                SandboxPlacement(
                    .namespace(path: "/run/netns/x"), .machine(address: "10.0.0.2", addressV6: "fd00::2"))))
    }
}
