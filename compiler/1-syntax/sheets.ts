/** The rules of sheets: groups, and selectors with what they set. */
import type {
  ExprAst,
  GroupAst,
  Name,
  RangeAst,
  RuleAst,
  SegmentAst,
  SelectorAst,
  SettingAst,
  SheetAst,
  TestAst,
} from './ast.ts';
import { ExpressionParser } from './expressions.ts';
import * as T from './tokens.ts';

interface SuffixAst {
  kind?: Name;
  range?: RangeAst;
  test?: TestAst;
}

export class SheetParser extends ExpressionParser {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

  readonly sheet = this.RULE('sheet', (): SheetAst => {
    const groups: GroupAst[] = [];
    const rules: RuleAst[] = [];
    this.MANY(() => {
      this.OR([
        {
          GATE: () => this.LA(1).image === 'group' && this.LA(2).tokenType === T.Identifier,
          ALT: () => groups.push(this.SUBRULE(this.group)),
        },
        { ALT: () => rules.push(this.SUBRULE(this.rule)) },
      ]);
    });
    return { groups, rules };
  });

  private readonly group = this.RULE('group', (): GroupAst => {
    const word = this.CONSUME(T.Identifier);
    const name = this.nameOf(this.CONSUME2(T.Identifier));
    this.CONSUME(T.Assign);
    // No arithmetic: the next rule may begin with a star.
    const value = this.SUBRULE(this.primary);
    return { name, value, span: this.span(word) };
  });

  private readonly rule = this.RULE('rule', (): RuleAst => {
    const selectors = this.SUBRULE(this.selectors);
    this.CONSUME(T.LeftBrace);
    const settings: SettingAst[] = [];
    this.MANY(() => {
      settings.push(this.SUBRULE(this.setting));
      this.OPTION(() => {
        this.CONSUME(T.Semicolon);
      });
    });
    this.CONSUME(T.RightBrace);
    return { selectors, settings };
  });

  readonly selectors = this.RULE('selectors', (): readonly SelectorAst[] => {
    const selectors: SelectorAst[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        selectors.push(this.SUBRULE(this.selector));
      },
    });
    return selectors;
  });

  private readonly setting = this.RULE('setting', (): SettingAst => {
    const name = this.nameOf(this.CONSUME(T.Identifier));
    this.CONSUME(T.Colon);
    const value = this.SUBRULE(this.expr);
    return { name, value };
  });

  private readonly selector = this.RULE('selector', (): SelectorAst => {
    const first = this.LA(1);
    const segments: SegmentAst[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Dot,
      DEF: () => {
        segments.push(this.SUBRULE(this.segment));
      },
    });
    return { segments, span: this.span(first, this.LA(0)) };
  });

  private readonly segment = this.RULE('segment', (): SegmentAst => {
    let name: SegmentAst['name'] = { kind: 'any' };
    const begin = this.LA(1);
    const suffixes: SuffixAst[] = [];
    this.OR([
      {
        ALT: () => {
          name = { kind: 'name', ...this.nameOf(this.CONSUME(T.Identifier)) };
          this.MANY(() => {
            suffixes.push(this.SUBRULE(this.suffix));
          });
        },
      },
      {
        ALT: () => {
          this.CONSUME(T.Star);
          name = { kind: 'one' };
          this.OPTION(() => {
            this.CONSUME2(T.Star);
            name = { kind: 'any' };
          });
          this.MANY2(() => {
            suffixes.push(this.SUBRULE2(this.suffix));
          });
        },
      },
      {
        ALT: () => {
          this.AT_LEAST_ONE(() => {
            suffixes.push(this.SUBRULE3(this.suffix));
          });
        },
      },
    ]);
    return {
      name,
      kinds: suffixes.flatMap((s) => s.kind ?? []),
      ranges: suffixes.flatMap((s) => s.range ?? []),
      tests: suffixes.flatMap((s) => s.test ?? []),
      span: this.span(begin, this.LA(0)),
    };
  });

  private readonly suffix = this.RULE('suffix', (): SuffixAst => {
    const found: SuffixAst = {};
    this.OR([
      {
        ALT: () => {
          this.CONSUME(T.Colon);
          found.kind = this.nameOf(this.CONSUME(T.Identifier));
        },
      },
      {
        ALT: () => {
          this.CONSUME(T.LeftBracket);
          this.OR2([
            {
              ALT: () => {
                found.test = this.SUBRULE(this.test);
              },
            },
            {
              ALT: () => {
                found.range = this.SUBRULE(this.range);
              },
            },
          ]);
          this.CONSUME(T.RightBracket);
        },
      },
    ]);
    return found;
  });

  /** `3`, `-1`, `3..`, `..5`, `3..5` (both ends belong to it), `::4`, `1::4`. */
  private readonly range = this.RULE('range', (): RangeAst => {
    const first = this.LA(1);
    let from: number | undefined;
    let to: number | undefined;
    let every = 1;
    let open = false;
    this.OPTION(() => {
      from = this.SUBRULE(this.bound);
    });
    this.OPTION2(() => {
      this.OR([
        {
          ALT: () => {
            this.CONSUME(T.DotDot);
            open = true;
            this.OPTION3(() => {
              to = this.SUBRULE2(this.bound);
            });
          },
        },
        {
          ALT: () => {
            this.CONSUME(T.Colon);
            this.CONSUME2(T.Colon);
            open = true;
            every = Number(this.CONSUME(T.NumberLiteral).image);
          },
        },
      ]);
    });
    return { from, to: open ? to : from, every, span: this.span(first, this.LA(0)) };
  });

  private readonly bound = this.RULE('bound', (): number => {
    let sign = 1;
    this.OPTION(() => {
      this.CONSUME(T.Minus);
      sign = -1;
    });
    return sign * Number(this.CONSUME(T.NumberLiteral).image);
  });

  private readonly test = this.RULE('test', (): TestAst => {
    const name = this.nameOf(this.CONSUME(T.Identifier));
    const op = this.OR([
      { ALT: () => this.CONSUME(T.Less) },
      { ALT: () => this.CONSUME(T.LessEqual) },
      { ALT: () => this.CONSUME(T.Greater) },
      { ALT: () => this.CONSUME(T.GreaterEqual) },
      { ALT: () => this.CONSUME(T.Equal) },
      { ALT: () => this.CONSUME(T.NotEqual) },
      { ALT: () => this.CONSUME(T.Assign) },
    ]);
    const value: ExprAst = this.SUBRULE(this.sum);
    return { name, op: op.image === '=' ? '==' : (op.image as TestAst['op']), value }; // as listed
  });
}
