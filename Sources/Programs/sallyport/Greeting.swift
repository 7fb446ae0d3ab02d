import ControlPlane
import Logging
import ServerTLS

/// What `sallyport serve` prints when it is ready: where it listens, the key, and an example to paste.
struct Greeting {
    let text: String

    /// - Parameter showsKey: where only who started the server reads it. Elsewhere (a journal, a log, a pipe) the key would stay
    ///   for others to find: its file is named instead.
    init(_ facts: ServeFacts, showsKey: Bool) {
        let settings = facts.settings
        let server = Self.address(settings.server.host, settings.server.port)
        func secure(_ listener: TLSListener?) -> String {
            listener.map { "\n    with TLS     https://\(Self.address($0.host, $0.port))" } ?? ""
        }
        let key =
            switch (facts.apiKey, facts.apiKeyFile) {
            case (nil, _): "# no API key is needed"
            case (let key?, _) where showsKey: "export OPEN_SANDBOX_API_KEY=\(key)"
            case (_, let file?): "export OPEN_SANDBOX_API_KEY=$(cat \(file))"
            case (_, nil): "export OPEN_SANDBOX_API_KEY=...   # the one that is configured"
            }
        text = """

            Sallyport \(AllInOneServer.release) is ready.
              lifecycle API  http://\(server)\(secure(settings.server.tls))
              gateway        http://\(Self.address(settings.gateway.host, settings.gateway.port))\(secure(settings.gateway.tls))

            Paste this into another shell:

            export OPEN_SANDBOX_DOMAIN=\(server)
            \(key)
            python3 -m venv /tmp/sallyport-example
            /tmp/sallyport-example/bin/pip install --quiet opensandbox==1.1.1
            /tmp/sallyport-example/bin/python - <<'EXAMPLE'
            import asyncio
            from opensandbox import Sandbox
            from opensandbox.models.sandboxes import NetworkPolicy, NetworkRule

            async def main():
                sandbox = await Sandbox.create(
                    "sallyport/base:latest",
                    network_policy=NetworkPolicy(
                        defaultAction="deny", egress=[NetworkRule(action="allow", target="pypi.org")]))
                async with sandbox:
                    result = await sandbox.commands.run("uname -a; getent hosts pypi.org || echo no such name; getent hosts example.com || echo denied")
                    print(result.text)
                    await sandbox.kill()

            asyncio.run(main())
            EXAMPLE


            """
    }

    /// As clients take it: an IPv6 address has brackets.
    static func address(_ host: String, _ port: Int) -> String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

    /// The same for programs, without the key.
    static func fields(_ facts: ServeFacts) -> Logger.Metadata {
        let settings = facts.settings
        var fields: Logger.Metadata = [
            "release": "\(AllInOneServer.release)",
            "api": "\(address(settings.server.host, settings.server.port))",
            "gateway": "\(address(settings.gateway.host, settings.gateway.port))",
        ]
        if let file = facts.apiKeyFile, facts.apiKey != nil { fields["api-key-file"] = "\(file)" }
        return fields
    }
}
