import Runtimes
import Spelling

/// Pools of sandboxes that are made ahead (docs/pools.md).
extension Settings {
    static let poolList = SettingList(
        name: "pools", summary: "sandboxes that are made ahead; a create with extensions.poolRef gets one",
        keys: [
            .init(name: "name", example: "python", summary: "what extensions.poolRef says"),
            .init(name: "image", example: "sallyport/base:latest", summary: "what they are made from"),
            .init(name: "cpu", example: "1", summary: "their processors, `500m` or `1.5`"),
            .init(name: "memory", example: "2Gi", summary: "their memory"),
            .init(name: "waiting", example: "4", summary: "how many wait for a use"),
            .init(name: "most", example: "100", summary: "how many there may be, with those in use"),
        ])

    static func configuredPools(_ values: SettingValues) throws(ConfigurationError) -> [Pool] {
        var pools: [Pool] = []
        for (place, table) in (values.tables[poolList.name] ?? []).enumerated() {
            let path = "local.pools.\(place)"
            func number(_ key: String) throws(ConfigurationError) -> Int {
                guard let number = Int(table[key]!), (0...PoolCapacity.most).contains(number) else {
                    throw ConfigurationError("\(path).\(key): use a number from 0 to \(PoolCapacity.most), as a string")
                }
                return number
            }
            let name = table["name"]!
            guard PoolRequest.isName(name), !pools.contains(where: { $0.name == name }) else {
                throw ConfigurationError("\(path).name: use lower-case letters, digits and hyphens, and each name once")
            }
            guard !table["image"]!.isEmpty else { throw ConfigurationError("\(path).image: use the name of an image") }
            var template = PoolTemplate(image: table["image"]!)
            do throws(APIError) {
                template.limits = try ResourceLimits(resources: ["cpu": table["cpu"]!, "memory": table["memory"]!])
            } catch {
                throw ConfigurationError("\(path): \(error.message)")
            }
            let (waiting, most) = (try number("waiting"), try number("most"))
            pools.append(
                Pool(
                    name: name, template: template,
                    capacity: PoolCapacity(bufferMin: 0, bufferMax: waiting, poolMin: 0, poolMax: most),
                    createdAt: .now()))
        }
        return pools
    }
}
