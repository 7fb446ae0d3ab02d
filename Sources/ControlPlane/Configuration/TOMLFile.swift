import JSON
import TOMLKit

extension JSONValue {
    /// Converts TOML to a JSON tree, so that settings and requests are read in the same way.
    /// - Throws: `ConfigurationError` with the line of a syntax error, or the key of an unsupported value.
    init(toml text: String, path: String) throws(ConfigurationError) {
        do {
            try self.init(TOMLTable(string: text), at: "the file")
        } catch let error as TOMLParseError {
            throw ConfigurationError("\(path), line \(error.source.begin.line): \(error.description)")
        } catch {
            throw ConfigurationError("\(path): \(error)")
        }
    }

    /// - Throws: for a date or a time. No setting has that type, so it must be a text without quotes.
    private init(_ value: some TOMLValueConvertible, at key: String) throws(ConfigurationError) {
        if let table = value.table {
            var object = JSONObject()
            for (name, value) in table { object.set(name, try JSONValue(value, at: name)) }
            self = .object(object)
        } else if let array = value.array {
            var items: [JSONValue] = []
            for item in array { items.append(try JSONValue(item, at: key)) }
            self = .array(items)
        } else if let text = value.string {
            self = .string(text)
        } else if let number = value.int {
            self = .integer(number)
        } else if let number = value.double {
            self = .number(number)
        } else if let flag = value.bool {
            self = .boolean(flag)
        } else {
            throw ConfigurationError("\(key) is a date or a time, which no setting takes; put text in quotes")
        }
    }
}
