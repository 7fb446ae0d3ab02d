import JSON
import Runtimes
import Spelling

/// The bodies of `POST /pools` and `PUT /pools/{name}`, checked.
enum PoolRequest {
    /// A new pool. Its template is a pod's (the contract's `template`), of which one container with image, command, args,
    /// env and limits can be had here; what else it says is refused, not ignored.
    static func create(_ body: JSONValue, at now: Timestamp) throws(APIError) -> Pool {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: ["name", "template", "capacitySpec"], problems: problems)
        for name in ["name", "template", "capacitySpec"] where !fields.mentions(name) { fields.missing(name) }
        let name = fields.string("name") ?? ""
        if fields.mentions("name"), !isName(name) {
            fields.problem(
                "name", "String should match pattern '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', of 1 to 253 characters")
        }
        let container = container(fields, problems)
        let capacity = capacity(fields)
        try problems.check()
        guard let container, let capacity else { throw .invalid(["body"], "Field required", type: "missing") }
        return Pool(name: name, template: try template(container, problems), capacity: capacity, createdAt: now)
    }

    static func update(_ body: JSONValue) throws(APIError) -> PoolCapacity {
        let problems = Problems()
        let fields = Fields(body, at: ["body"], known: ["capacitySpec"], problems: problems)
        if !fields.mentions("capacitySpec") { fields.missing("capacitySpec") }
        let capacity = capacity(fields)
        try problems.check()
        guard let capacity else { throw .invalid(["body", "capacitySpec"], "Field required", type: "missing") }
        return capacity
    }

    /// A name that Kubernetes would take, too.
    static func isName(_ text: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
        let bytes = Array(text.utf8)
        guard (1...253).contains(bytes.count), isAlphanumeric(bytes[0]), isAlphanumeric(bytes[bytes.count - 1]) else {
            return false
        }
        return bytes.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }

    private static func capacity(_ fields: Fields) -> PoolCapacity? {
        let names = ["bufferMin", "bufferMax", "poolMin", "poolMax"]
        guard let spec = fields.object("capacitySpec", known: names) else { return nil }
        var numbers: [Int] = []
        for name in names {
            if !spec.mentions(name) { spec.missing(name) }
            guard let number = spec.integer(name) else { continue }
            if number < 0 {
                spec.problem(name, "Input should be greater than or equal to 0", type: "greater_than_equal")
            }
            if number > PoolCapacity.most {
                spec.problem(
                    name, "Input should be less than or equal to \(PoolCapacity.most)", type: "less_than_equal")
            }
            numbers.append(number)
        }
        guard numbers.count == names.count else { return nil }
        let capacity = PoolCapacity(
            bufferMin: numbers[0], bufferMax: numbers[1], poolMin: numbers[2], poolMax: numbers[3])
        if capacity.bufferMin > capacity.bufferMax { spec.problem("bufferMin", "bufferMin is above bufferMax") }
        if capacity.poolMin > capacity.poolMax { spec.problem("poolMin", "poolMin is above poolMax") }
        return capacity
    }

    // MARK: A pod's template

    private static func container(_ fields: Fields, _ problems: Problems) -> Fields? {
        guard let template = only(["metadata", "spec"], of: "template", in: fields),
            let spec = only(["containers"], of: "spec", in: template, isNeeded: true)
        else { return nil }
        guard case .array(let containers)? = spec.value("containers"), containers.count == 1 else {
            spec.problem("containers", "one container is needed, which is the sandbox")
            return nil
        }
        let known = ["name", "image", "command", "args", "env", "resources"]
        let container = Fields(
            containers[0], at: spec.location + ["containers", "0"], known: known, problems: problems)
        refuseOthers(containers[0], known, at: container)
        if container.string("image")?.isEmpty ?? true { container.problem("image", "image is needed") }
        return container
    }

    /// An object of which other fields would be ignored.
    private static func only(_ known: [String], of name: String, in fields: Fields, isNeeded: Bool = false) -> Fields? {
        guard let value = fields.value(name), let object = fields.object(name, known: known) else {
            if isNeeded, fields.value(name) == nil { fields.missing(name) }
            return nil
        }
        refuseOthers(value, known, at: object)
        return object
    }

    private static func refuseOthers(_ value: JSONValue, _ known: [String], at fields: Fields) {
        guard case .object(let object) = value else { return }
        for member in object.members where !known.contains(member.name) {
            fields.problem(
                String(member.name.prefix(64)),
                "not supported by this runtime: use \(known.joined(separator: ", "))",
                type: "extra_forbidden")
        }
    }

    private static func template(_ container: Fields, _ problems: Problems) throws(APIError) -> PoolTemplate {
        var template = PoolTemplate(image: container.string("image") ?? "")
        let program = (container.strings("command") ?? []) + (container.strings("args") ?? [])
        if !program.isEmpty { template.entrypoint = program }
        template.environment = variables(container, problems)
        if let resources = only(["limits", "requests"], of: "resources", in: container) {
            let limits = (resources.texts("limits") ?? [:]).compactMapValues { $0 }
            // Nothing is reserved, so a smaller request would promise what is not held.
            if let requests = resources.texts("requests"), requests.compactMapValues({ $0 }) != limits {
                resources.problem("requests", "this runtime reserves nothing: leave it out, or give the limits")
            }
            try problems.check()
            template.limits = try ResourceLimits(resources: limits)
        }
        try problems.check()
        if template.entrypoint[0].isEmpty { throw .parameter("template: the first word of command names no program") }
        try CreateRequest.checkEnvironment(template.environment)
        if let problem = ProcessTexts.problem(entrypoint: template.entrypoint, environment: template.environment) {
            throw .parameter("template: \(problem)")
        }
        return template
    }

    private static func variables(_ container: Fields, _ problems: Problems) -> [ExactName: String] {
        guard let value = container.value("env") else { return [:] }
        guard case .array(let entries) = value else {
            container.problem("env", "Input should be a valid list", type: "list_type")
            return [:]
        }
        var variables: [ExactName: String] = [:]
        for (place, entry) in entries.enumerated() {
            let location = container.location + ["env", String(place)]
            let fields = Fields(entry, at: location, known: ["name", "value"], problems: problems)
            refuseOthers(entry, ["name", "value"], at: fields)
            guard let name = fields.string("name") else {
                if !fields.mentions("name") { fields.missing("name") }
                continue
            }
            variables[ExactName(name)] = fields.string("value") ?? ""
        }
        return variables
    }
}
