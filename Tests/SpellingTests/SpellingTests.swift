import Spelling
import Testing

@Suite struct SimilarNameTests {
    private let known = ["secureAccess", "timeout", "env", "expires", "resourceLimits", "metadata"]

    @Test(arguments: [
        ("secureaccess", "secureAccess"), ("secure_access", "secureAccess"), ("SecureAcess", "secureAccess"),
        ("timeuot", "timeout"), ("timeou", "timeout"), ("timeouts", "timeout"), ("Timeout", "timeout"), ("envs", "env"),
        ("expire", "expires"), ("resource-limits", "resourceLimits"), ("metadatb", "metadata"), ("_env", "env"),
        ("secureAccess", nil), ("", nil), ("labels", nil), ("time", nil), ("resources", nil), ("annotations", nil),
        (String(repeating: "a", count: 100_000), nil),
    ]) func `a name is misspelt by case, separators or one letter`(_ name: String, _ meant: String?) {
        #expect(SimilarName.misspelt(name, of: known) == meant)
    }

    @Test(arguments: [
        ("egres", "egress"), ("prot", "port"), ("max_timeout_secs", "max_timeout_seconds"), ("zzzzzz", nil), ("", nil),
    ]) func `the nearest name is found, and none where all are far`(_ name: String, _ nearest: String?) {
        #expect(SimilarName.nearest(to: name, among: ["egress", "port", "host", "max_timeout_seconds"]) == nearest)
    }
}

@Suite struct VariablesTests {
    private let known = ["OPENSANDBOX_EGRESS_TOKEN", "OPENSANDBOX_EGRESS_MODE"]

    @Test(arguments: [
        ("OPENSANDBOX_EGRESS_TOKENN", "OPENSANDBOX_EGRESS_TOKEN"),
        ("OPENSANDBOX_EGRES_MODE", "OPENSANDBOX_EGRESS_MODE"),
        ("OPENSANDBOX_SERVER_APIKEY", "OPENSANDBOX_SERVER_API_KEY"), ("OPENSANDBOX_ZZZZZZZZZZZZ", nil),
    ]) func `a variable that nobody reads is named, with the nearest that exists`(_ name: String, _ meant: String?) {
        let problem = Variables.problem(in: [name: "x", "PATH": "/bin"], known: known)
        #expect(problem?.variable == name)
        #expect(problem?.reason == "no such setting is known" + (meant.map { "; did you mean \($0)?" } ?? ""))
    }

    @Test func `what is read here or by other programs, and what is not ours, is fine`() {
        let names =
            known + ["OPENSANDBOX_SERVER_API_KEY", "OPENSANDBOX_DISABLE_METRICS", "OPEN_SANDBOX_API_KEY", "HOME"]
        let environment = Dictionary(uniqueKeysWithValues: names.map { ($0, "x") })
        #expect(Variables.problem(in: environment, known: known) == nil)
        let other = ["OPENSANDBOX_EGRESS_WHATEVER": "x"]
        #expect(Variables.problem(in: other, known: known) != nil)
        #expect(Variables.problem(in: other, known: known, foreign: "OPENSANDBOX_EGRESS_") == nil)
    }

    /// A Service `opensandbox-server` gives every pod of its namespace variables with our prefix.
    @Test func `variables of a service are no settings, and no excuse for one that is mistyped`() {
        let service = [
            "SERVICE_HOST": "10.0.0.1", "SERVICE_PORT": "80", "SERVICE_PORT_HTTP": "80", "PORT": "tcp://10.0.0.1:80",
            "PORT_80_TCP": "tcp://10.0.0.1:80", "PORT_80_TCP_PROTO": "tcp", "PORT_80_TCP_PORT": "80",
            "PORT_80_TCP_ADDR": "10.0.0.1",
        ]
        let environment = service.map { ("OPENSANDBOX_SERVER_" + $0.key, $0.value) }
        #expect(Variables.problem(in: Dictionary(uniqueKeysWithValues: environment), known: known) == nil)
        for (name, value) in [
            ("EGRESS_UNCHECKED_PORT", "22"), ("SERVICE_PORT", "x"), ("PORT_x_TCP", "1"), ("PORT", "80"),
        ] {
            #expect(Variables.problem(in: ["OPENSANDBOX_" + name: value], known: known) != nil, "\(name)")
        }
    }
}
