import JSON
import TOMLKit

extension JSONValue {
    /// A TOML text as the same tree that JSON is read into, so that settings and requests are looked at in one way.
    /// - Throws: `ConfigurationError` with the line of a mistake, or the key of a value that no setting has.
    init(toml text: String, path: String) throws(ConfigurationError) {
        do {
            try self.init(TOMLTable(string: text), at: "the file")
        } catch let error as TOMLParseError {
            throw ConfigurationError("\(path), line \(error.source.begin.line): \(error.description)")
        } catch {
            throw ConfigurationError("\(path): \(error)")
        }
    }

    /// - Throws: for a date or a time: no setting is one, and a text without its quotes must not be a setting that is left out.
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
            throw ConfigurationError("\(key) is a date or a time, which no setting is; put a text into quotes")
        }
    }
}
