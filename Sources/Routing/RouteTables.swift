// The tables of policy routing beside "main", and the rules that choose among them.
//
// Invariant: built at configuration time by the owner, then only read; every rule that names a table names one that
// exists. The list of rules always ends with "main", as Linux's does.
//
// Overload: `maximumTables` tables and `maximumRules` rules; more are refused with an error. A lookup walks the rules in
// order, so its cost grows with their number; packets cannot add any.
import Wire

public struct RouteTables: ~Copyable {
    public static var maximumTables: Int { 256 }
    public static var maximumRules: Int { 1024 }
    /// Linux's numbers (/etc/iproute2/rt_tables).
    public static var main: UInt32 { 254 }
    public static var `default`: UInt32 { 253 }
    public static var local: UInt32 { 255 }

    private struct Entry {
        var rule: RoutingRule
        /// Place of its table; -1 is "main", which the router holds itself.
        var place: Int32
    }
    private let tables: UnsafeMutablePointer<FIB>
    private var numbers: [UInt32] = []
    private let entries: UnsafeMutablePointer<Entry>
    private var entryCount = 0
    /// Place of the table "default"; -1 if there is none.
    private var defaultPlace = -1

    public init() {
        tables = .allocate(capacity: Self.maximumTables)
        entries = .allocate(capacity: Self.maximumRules)
    }

    deinit {
        tables.deinitialize(count: numbers.count)
        tables.deallocate()
        entries.deinitialize(count: entryCount)
        entries.deallocate()
    }

    /// Whether lookups have to ask rules at all.
    public var hasRules: Bool { entryCount > 0 }

    // MARK: - Configuration

    /// Adds an empty table.
    /// - Parameter fib: with the backends that suit the number of its routes.
    public mutating func add(_ number: UInt32, _ fib: consuming FIB) throws(RoutingError) {
        guard number != 0, number != Self.main, number != Self.local else { throw RoutingError("table \(number) is Linux's own; another number must be chosen") }
        guard !numbers.contains(number) else { throw RoutingError("there are two tables \(number)") }
        guard numbers.count < Self.maximumTables else { throw RoutingError("table \(number): there can be \(Self.maximumTables) tables at most") }
        (tables + numbers.count).initialize(to: fib)
        if number == Self.default { defaultPlace = numbers.count }
        numbers.append(number)
    }

    public func contains(_ number: UInt32) -> Bool { numbers.contains(number) }

    public mutating func addRoute(_ route: Route, table: UInt32) throws(RoutingError) {
        guard let place = numbers.firstIndex(of: table) else { throw RoutingError("route \(route.destination): there is no table \(table)") }
        try tables[place].add(route)
    }

    public mutating func addRule(_ rule: RoutingRule) throws(RoutingError) {
        guard entryCount < Self.maximumRules else { throw RoutingError("there can be \(Self.maximumRules) rules at most") }
        var place: Int32 = -1
        if case .table(let number) = rule.action, number != Self.main {
            guard let found = numbers.firstIndex(of: number) else { throw RoutingError("rule \(rule.priority): there is no table \(number)") }
            place = Int32(found)
        }
        var index = entryCount
        while index > 0, entries[index - 1].rule.priority > rule.priority { index -= 1 }
        (entries + entryCount).initialize(to: Entry(rule: rule, place: place))
        var position = entryCount
        while position > index {
            swap(&entries[position], &entries[position - 1])
            position -= 1
        }
        entryCount += 1
    }

    // MARK: - Packet path

    /// Asks the rules in order, then `main`, then the table "default".
    public func lookup(_ query: RouteQuery, main: borrowing FIB, interfaces: borrowing InterfaceTable) -> RouteResult {
        var none = RouteResult()
        none.nextHop = query.destination
        for index in 0 ..< entryCount where entries[index].rule.matches(query) {
            let entry = entries[index]
            switch entry.rule.action {
            case .blackhole: none.kind = .blackhole
            case .prohibit: none.kind = .prohibit
            case .unreachable: break
            case .table:
                let found = entry.place < 0
                    ? main.lookup(query.destination, flowHash: query.flowHash, interfaces: interfaces)
                    : tables[Int(entry.place)].lookup(query.destination, flowHash: query.flowHash, interfaces: interfaces)
                if found.kind == .none || found.kind == .throw || Int16(found.prefixLength) <= entry.rule.suppressedLength { continue }
                return found
            }
            return none
        }
        var found = main.lookup(query.destination, flowHash: query.flowHash, interfaces: interfaces)
        if found.kind == .none || found.kind == .throw, defaultPlace >= 0 {
            found = tables[defaultPlace].lookup(query.destination, flowHash: query.flowHash, interfaces: interfaces)
        }
        return found.kind == .throw ? none : found
    }

    /// Whether a route that answers `query` has a next hop on `port`, whichever of its next hops this flow would take.
    public func reaches(_ query: RouteQuery, by port: PortIndex, main: borrowing FIB, interfaces: borrowing InterfaceTable) -> Bool {
        for index in 0 ..< entryCount where entries[index].rule.matches(query) {
            let entry = entries[index]
            guard case .table = entry.rule.action else { return false }
            let found = entry.place < 0
                ? main.lookup(query.destination, flowHash: 0, interfaces: interfaces)
                : tables[Int(entry.place)].lookup(query.destination, flowHash: 0, interfaces: interfaces)
            if found.kind == .none || found.kind == .throw || Int16(found.prefixLength) <= entry.rule.suppressedLength { continue }
            return entry.place < 0 ? main.reaches(query.destination, by: port) : tables[Int(entry.place)].reaches(query.destination, by: port)
        }
        let found = main.lookup(query.destination, flowHash: 0, interfaces: interfaces)
        if found.kind == .none || found.kind == .throw, defaultPlace >= 0 { return tables[defaultPlace].reaches(query.destination, by: port) }
        return main.reaches(query.destination, by: port)
    }
}
