import Runtimes

/// A kernel of its own for each sandbox (docs/isolation.md#gvisor).
extension Settings {
    static let secureRuntimeSection = SettingSection(
        "secure_runtime", "What is between sandboxes and this machine's kernel (docs/isolation.md#gvisor).",
        [
            SettingKey(
                "type", "\"\", or gvisor", default: "\"\"", "gvisor: every sandbox runs under runsc"),
            .optionalText(
                "path", "a path", \.secureRuntime.program,
                "runsc of the local runtime; absent: searched on the usual path"),
            .optionalText(
                "docker_runtime", "a name", \.secureRuntime.engineName,
                "what the Docker engine calls it; absent: runsc"),
            SettingKey(
                "platform", "a word such as ptrace, systrap or kvm", example: "\"ptrace\"",
                "how runsc intercepts system calls; absent: its own choice"
            ) { (value, settings) throws(ConfigurationError) in
                guard let word = try value.textOrNothing() else { return }
                guard word.utf8.count <= 32, word.utf8.allSatisfy({ UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 })
                else {
                    throw value.wrong()
                }
                settings.secureRuntime.platform = word
            },
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard let type = values["type"] else { return }
        switch try type.text() {
        case "": break
        case "gvisor":
            guard settings.local.userNamespaces.mode != .required else {
                throw ConfigurationError(
                    "secure_runtime.type is gvisor, which has no use for user namespaces: leave local.user_namespaces out"
                )
            }
            settings.local.gVisor = settings.secureRuntime
        case let absent where ["kata", "firecracker"].contains(absent):
            throw ConfigurationError(
                "secure_runtime.type is \"\(absent)\", which this server cannot start: use gvisor, or leave it out"
            )
        default: throw type.wrong()
        }
    }
}
