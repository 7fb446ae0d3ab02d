import Spelling

/// Which of the sandbox's variables a session has (EXECD contract, section 3.4).
enum SessionVariables {
    /// Never, whatever is asked for.
    private static let never: Set<ExactName> = [
        "EXECD_ACCESS_TOKEN", "JUPYTER_HOST", "JUPYTER_TOKEN", "EXECD_ISOLATION_CONFIG", "EXECD_ENVS",
        "OPENSANDBOX_LIFECYCLE", "EXECD_LIFECYCLE_CONFIG", "EXECD_RUNTIME_INIT",
    ]
    /// Always, or a shell would find nothing.
    private static let always: Set<ExactName> = ["PATH", "HOME", "LANG", "TERM"]
    /// What secrets are called, in lower case: beginnings and endings.
    private static let beginnings = ["aws_", "ali_", "aliyun_", "k8s_", "kube_"]
    private static let endings = ["_api_key", "_token", "_secret", "_password"]

    static func of(_ all: [ExactName: String], _ passthrough: IsolationRequest.Passthrough) -> [ExactName: String] {
        let keys = Set(passthrough.keys.map(ExactName.init))
        return all.filter { name, _ in
            if never.contains(name) { return false }
            switch passthrough.mode {
            case .allow: return keys.contains(name) || always.contains(name)
            case .deny where keys.isEmpty: return !isSecret(name.text)
            case .deny: return !keys.contains(name)
            }
        }
    }

    private static func isSecret(_ name: String) -> Bool {
        let name = name.lowercased()
        return beginnings.contains { name.utf8.starts(with: $0.utf8) }
            || endings.contains { name.utf8.reversed().starts(with: $0.utf8.reversed()) }
    }
}
