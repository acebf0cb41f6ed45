/** What an expression of PromQL asks for. */
export interface PromqlUse {
  /** Each metric with the matchers behind it. */
  readonly metrics: readonly { readonly name: string; readonly matchers: readonly Matcher[] }[];
  /** Labels of `by`, `without`, `on`, `ignoring`. */
  readonly grouping: readonly string[];
}

export interface Matcher {
  readonly label: string;
  readonly op: string;
  readonly value: string;
}

const FUNCTIONS = [
  ...["changes", "histogram_quantile", "increase", "rate", "time", "vector"],
  ...["count", "max", "min", "sum", "topk"],
];
const GROUPING = ["by", "without", "on", "ignoring"];
const OPERATORS = ["and", "or", "unless"];
const TOKEN =
  /\s+|"(?:[^"\\]|\\.)*"|\d+[smhd]|\d+(?:\.\d+)?|[a-zA-Z_:][\w:]*|=~|!~|!=|==|<=|>=|[-+*/%<>=(){}[\],]/y;
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "{": "}", "[": "]" };

/** Reads an expression of the few forms that we use. Throws on any other one, and when it is not balanced. */
export function readPromql(text: string): PromqlUse {
  const tokens = tokenise(text);
  requireBalance(tokens, text);
  const metrics: { name: string; matchers: Matcher[] }[] = [];
  const grouping: string[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? "";
    if (!/^[a-zA-Z_:]/.test(token) || OPERATORS.includes(token)) continue;
    if (GROUPING.includes(token)) {
      const end = tokens.indexOf(")", at);
      grouping.push(...tokens.slice(at + 2, end).filter((word) => word !== ","));
      at = end;
    } else if (tokens[at + 1] === "{") {
      const end = tokens.indexOf("}", at);
      metrics.push({ name: token, matchers: matchersOf(tokens.slice(at + 2, end), text) });
      at = end;
    } else if (FUNCTIONS.includes(token)) {
      if (tokens[at + 1] !== "(" && !GROUPING.includes(tokens[at + 1] ?? ""))
        throw new Error(`${token} without arguments in ${text}`);
    } else {
      metrics.push({ name: token, matchers: [] });
    }
  }
  return { metrics, grouping };
}

function tokenise(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const [token] = TOKEN.exec(text) ?? [];
    if (token === undefined) throw new Error(`can't read ${text.slice(from)} in ${text}`);
    if (token.trim() !== "") tokens.push(token);
  }
  return tokens;
}

function requireBalance(tokens: readonly string[], text: string): void {
  const open: string[] = [];
  for (const token of tokens) {
    const closing = CLOSING[token];
    if (closing !== undefined) open.push(closing);
    else if (/^[)}\]]$/.test(token) && open.pop() !== token) throw new Error(`not balanced: ${text}`);
  }
  if (open.length > 0) throw new Error(`not balanced: ${text}`);
}

function matchersOf(tokens: readonly string[], text: string): Matcher[] {
  const matchers: Matcher[] = [];
  for (let at = 0; at < tokens.length; at += 4) {
    const [label = "", op = "", quoted = "", comma = ","] = tokens.slice(at, at + 4);
    if (!/^(=|!=|=~|!~)$/.test(op) || !quoted.startsWith('"') || comma !== ",")
      throw new Error(`odd matcher in ${text}`);
    matchers.push({ label, op, value: quoted.slice(1, -1) });
  }
  return matchers;
}
