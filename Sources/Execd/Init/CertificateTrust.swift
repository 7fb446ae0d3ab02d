import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Makes the sandbox's programs trust the authority of a proxy that intercepts TLS, as the reference's bootstrap.sh does. The
/// certificate comes by a shared folder, when the proxy has started.
struct CertificateTrust {
    static let variable: ExactName = "OPENSANDBOX_EGRESS_MITMPROXY_TRANSPARENT"
    /// Seconds for the certificate to come, and for each tool.
    private static let patience = 300, toolPatience = 60

    let step: StartStep
    /// In front of every path; for tests.
    var root = ""

    private var authority: String { root + "/opt/opensandbox/mitmproxy-ca-cert.pem" }
    private var merged: String { root + "/opt/opensandbox/merged-ca-certificates.pem" }
    /// Where distributions have all authorities that they trust.
    private static let bundles = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
    ]

    static func isWanted(_ environment: [ExactName: String]) -> Bool {
        environment[variable].flatMap(Truth.init(_:)) == .yes
    }

    /// - Returns: the variables by which programs find the authority.
    func establish(_ environment: [ExactName: String]) throws(StartFailure) -> [ExactName: String] {
        let hasCome = try step.wait(within: Self.patience) { size(authority) > 0 }
        guard hasCome, let certificate = File.text(authority, limit: 1 << 20) else {
            throw StartFailure(
                code: 1, reason: "\(Self.variable) is set, and \(authority) did not come within \(Self.patience) s")
        }
        // Before the system's store has it, so that it is not there twice.
        let others = Self.bundles.lazy.compactMap { File.text(root + $0, limit: 16 << 20) }.first { !$0.isEmpty }
        try installForSystem(environment)
        try installForBrowsers(environment)
        try installForJava(environment)
        var bundle = authority
        if let others {
            let text = others + (others.hasSuffix("\n") ? "" : "\n") + certificate
            if (try? File.replace(merged, with: Array(text.utf8), mode: 0o644)) != nil { bundle = merged }
        }
        return ["NODE_EXTRA_CA_CERTS": authority, "REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle]
    }

    private func installForSystem(_ environment: [ExactName: String]) throws(StartFailure) {
        let ways = [
            ("update-ca-certificates", "/usr/local/share/ca-certificates/opensandbox-mitmproxy-ca.crt"),
            ("update-ca-trust", "/etc/pki/ca-trust/source/anchors/opensandbox-mitmproxy-ca.pem"),
        ]
        guard let (name, anchor) = ways.first(where: { program($0.0, environment) != nil }) else { return }
        // Not root's: by sudo, where that asks for no password.
        let raise = geteuid() == 0 ? [] : ["sudo", "-n"]
        guard raise.isEmpty || program("sudo", environment) != nil else { return }
        try run(raise + ["mkdir", "-p", FilePath.folder(of: root + anchor)], environment)
        try run(raise + ["cp", authority, root + anchor], environment)
        try run(raise + [name], environment)
    }

    /// Of Chromium and others with Mozilla's library.
    private func installForBrowsers(_ environment: [ExactName: String]) throws(StartFailure) {
        guard program("certutil", environment) != nil, let home = environment["HOME"], home.hasPrefix("/") else {
            return
        }
        let folder = root + home + "/.pki/nssdb"
        if access(folder + "/cert9.db", F_OK) != 0 {
            guard (try? FolderChanges.create(folder)) != nil else { return }
            try run(["certutil", "-N", "--empty-password", "-d", "sql:" + folder], environment)
        }
        try run(
            ["certutil", "-A", "-d", "sql:" + folder, "-n", "opensandbox-mitmproxy", "-t", "C,,", "-i", authority],
            environment)
    }

    private func installForJava(_ environment: [ExactName: String]) throws(StartFailure) {
        var homes = environment["JAVA_HOME"].map { [root + $0] } ?? []
        for folder in ["/usr/lib/jvm", "/usr/java", "/opt/java", "/opt"] {
            let names = (File.names(in: root + folder) ?? []).sorted()
            homes += names.filter { folder != "/opt" || $0.hasPrefix("jdk") }.map { "\(root)\(folder)/\($0)" }
        }
        var seen: Set<String> = []
        for home in homes {
            for store in ["\(home)/lib/security/cacerts", "\(home)/jre/lib/security/cacerts"] {
                // Distributions link all of them to one.
                guard access(store, F_OK) == 0, let path = realpath(store, nil) else { continue }
                defer { free(path) }
                guard seen.insert(String(cString: path)).inserted else { continue }
                let tool = access("\(home)/bin/keytool", X_OK) == 0 ? "\(home)/bin/keytool" : "keytool"
                guard tool.contains("/") || program(tool, environment) != nil else { continue }
                try run(
                    [
                        tool, "-importcert", "-noprompt", "-trustcacerts", "-alias", "opensandbox-mitmproxy",
                        "-file", authority, "-keystore", store, "-storepass", "changeit",
                    ], environment)
            }
        }
    }

    /// A tool that fails leaves its programs without the authority, and the sandbox starts all the same.
    private func run(_ arguments: [String], _ environment: [ExactName: String]) throws(StartFailure) {
        // The image's programs: execd's token is not for them.
        let given = environment.filter { !Setting.keptFromEntrypoint.contains($0.key) }
        let spec = ProcessSpec(arguments: arguments, environment: given, rank: .entrypoint)
        switch try step.run(spec, within: Self.toolPatience) {
        case .ended(.exited(0)): break
        case .ended(let end): Bootstrap.complain("\(arguments[0]) ended with \(end.code)")
        case .late: Bootstrap.complain("\(arguments[0]) did not end within \(Self.toolPatience) s")
        }
    }

    private func program(_ name: String, _ environment: [ExactName: String]) -> String? {
        (environment["PATH"] ?? ProcessSpec.defaultPath).split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }

    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
