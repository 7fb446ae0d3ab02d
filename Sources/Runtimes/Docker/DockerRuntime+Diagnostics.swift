import SafeText
import Spelling

/// What the server tells of a sandbox's container.
extension DockerRuntime {
    package func isolation(of id: String) async -> String {
        guard let id = try? Self.checked(id), let found = try? await container(id) else { return "" }
        return found.isolation
    }
}

extension ContainerFacts {
    /// What keeps it apart from the machine, as the engine says, in a line for people.
    var isolation: String {
        // Its first process, execd, is root, and told whom the image wants.
        let user = (configuration.entrypoint ?? []).drop { $0 != ContainerBody.userOption }.dropFirst().first
        let prefix = "CAP_"
        let drops = (resources.drops ?? []).map {
            $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.utf8.count)) : $0
        }
        let options = (resources.securityOptions ?? []).map { option in
            // A profile is a whole document.
            option.hasPrefix("seccomp={") ? "seccomp=a profile of the operator's" : option
        }
        // One may have joined another than it was made with.
        let network = networks?.all?.keys.map(\.text).min() ?? resources.network
        let words = [
            "a container (\(resources.runtime ?? "the engine's usual runtime"))", "image \(image.prefix(19))",
            "network \(network ?? "unknown")", "program's user \(user ?? "root")",
            "capabilities without \(drops.joined(separator: " "))",
        ]
        return (words + options).map { ForeignText.escaped($0, limit: 300) }.joined(separator: ", ")
    }
}
