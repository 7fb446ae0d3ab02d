import JSON
import Spelling

/// Where a Jupyter server is. It is the sandbox's own, and nothing is sent anywhere else: the only address is loopback.
struct JupyterServer: Hashable, Sendable {
    var port: Int
    /// What its paths begin with; empty, or `/…` without a slash at the end.
    var base = ""
    /// nil: none is asked for.
    var token: String?

    /// A setting that leads elsewhere, or nowhere.
    struct SettingError: Error, Hashable, Sendable, CustomStringConvertible {
        let description: String
    }

    /// The server that the environment names in `JUPYTER_HOST`; nil where it names none.
    static func named(_ environment: [ExactName: String]) throws(SettingError) -> JupyterServer? {
        guard let text = environment["JUPYTER_HOST"], !text.isEmpty else { return nil }
        let hosts = ["127.0.0.1", "localhost"]
        guard text.hasPrefix("http://") else {
            throw SettingError(description: "JUPYTER_HOST does not begin with http://")
        }
        let rest = text.dropFirst(7)
        let place = rest.prefix { $0 != "/" }.split(separator: ":", omittingEmptySubsequences: false)
        guard let host = place.first, hosts.contains(String(host)), place.count <= 2 else {
            throw SettingError(
                description: "JUPYTER_HOST names another host than 127.0.0.1: code runs in the sandbox alone")
        }
        guard let port = place.count == 2 ? Int(place[1]) : 80, (1...65535).contains(port) else {
            throw SettingError(description: "JUPYTER_HOST has no valid port")
        }
        let path = rest.drop { $0 != "/" }
        // It goes into request lines.
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") })
        else {
            throw SettingError(description: "JUPYTER_HOST has a path that is not one")
        }
        let base = path.split(separator: "/").map { "/" + $0 }.joined()
        return JupyterServer(port: port, base: base, token: token(environment))
    }

    /// The server of an image that sets nothing: where the reference's image has it.
    static func usual(_ environment: [ExactName: String]) -> JupyterServer? {
        guard let port = Int(environment["JUPYTER_PORT"] ?? "\(ReadinessListener.standardPort)"),
            (1...65535).contains(port)
        else { return nil }
        return JupyterServer(port: port, token: token(environment))
    }

    private static func token(_ environment: [ExactName: String]) -> String? {
        guard let token = environment["JUPYTER_TOKEN"], !token.isEmpty,
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        return token
    }
}

/// The kernels that a Jupyter server knows how to start.
enum KernelSpecs {
    /// Which of them runs a language, from the answer of `/api/kernelspecs`: one named like the language, one that says
    /// that it is for it, or, for Python, the one that every ipykernel installs.
    static func name(for language: KernelLanguage, in answer: JSONValue) -> String? {
        guard case .object(let specs)? = answer["kernelspecs"] else { return nil }
        let fitting = specs.members.filter { member in
            guard case .string(let said)? = member.value["spec"]?["language"] else { return false }
            // It says that it is for TypeScript, and runs both.
            if member.name == "deno", language == .javascript { return true }
            return KernelLanguage(name: said) == language
        }.map(\.name).filter { !$0.isEmpty && $0.utf8.count <= 256 }.sorted()
        return fitting.first { $0 == language.rawValue } ?? fitting.first { $0 != "python3" } ?? fitting.first
    }
}
