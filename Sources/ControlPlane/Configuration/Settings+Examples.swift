extension Settings {
    /// A short file for a common case, where `starterFile` has every key.
    package enum Example: String, CaseIterable, Sendable {
        case local, docker, k8s

        package var file: String {
            switch self {
            case .local: Settings.localExample
            case .docker: Settings.localExample.replacing("type = \"local\"", with: "type = \"docker\"")
            case .k8s: Settings.nodeNote + Settings.localExample
            }
        }
    }

    /// What the reference has an example of, and this version has not.
    private static let nodeNote = """
        # NOT YET: there is no Kubernetes runtime in this version. type = "kubernetes", [kubernetes] and [agent_sandbox] are refused.
        # This file runs sandboxes on the node that the server is on, as root and with the node's network: it is for a node of
        # its own, not for a pod beside others.

        """

    private static let localExample = """
        # Sallyport with sandboxes on this machine, for clients on others. `sallyport settings` prints every key.

        [server]
        host = "0.0.0.0"
        port = 8080
        # The key is generated and kept in <state_dir>/secrets/api-key; `sallyport key create` makes further ones.
        # By which name or address clients reach this server:
        # eip = "sandboxes.example"
        # names = ["sandboxes.example"]

        [runtime]
        type = "local"

        [ingress]
        host = "0.0.0.0"
        port = 28888

        [ingress.gateway]
        # CHANGE THIS to the name or address by which clients reach the gateway: endpoints tell it to them.
        address = "sandboxes.example:28888"

        [local]
        state_dir = "/var/lib/sallyport"
        address_pool = "10.200.0.0/16"

        [egress]
        mode = "dns+nft"

        """
}
