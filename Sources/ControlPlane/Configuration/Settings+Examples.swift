extension Settings {
    /// A short file for a common case, where `starterFile` has every key.
    package enum Example: String, CaseIterable, Sendable {
        case local, docker, k8s

        /// - Throws: for what no runtime of this version is for, which the reference has examples of.
        package func file() throws(ConfigurationError) -> String {
            switch self {
            case .local: Settings.localExample
            case .docker: Settings.localExample.replacing("type = \"local\"", with: "type = \"docker\"")
            case .k8s:
                throw ConfigurationError(
                    "there is no Kubernetes runtime in this version: --example local runs sandboxes on one machine")
            }
        }
    }

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
        # address = "sandboxes.example:28888"

        [local]
        state_dir = "/var/lib/sallyport"
        address_pool = "10.200.0.0/16"

        [egress]
        mode = "dns+nft"

        """
}
