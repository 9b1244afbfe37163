/** The rules of templates and their statements; `expressions.ts` has those of expressions. */
import type {
  ArgAst,
  ExprAst,
  Name,
  ParamDecl,
  ShapeAst,
  StmtAst,
  TemplateAst,
  TensorDecl,
  TextAst,
  TypeAst,
  WeightAst,
} from './ast.ts';
import { ExpressionParser } from './expressions.ts';
import * as T from './tokens.ts';

export type Head = Omit<TemplateAst, 'body' | 'partial'>;

export class TemplateParser extends ExpressionParser {
  constructor() {
    super();
    this.performSelfAnalysis();
  }

  readonly template = this.RULE('template', (): TemplateAst => {
    const head = this.SUBRULE(this.head);
    const body = this.SUBRULE(this.block);
    return { ...head, body };
  });

  readonly head = this.RULE('head', (): Head => {
    const name = this.CONSUME(T.Identifier);
    this.CONSUME(T.LeftParen);
    const inputs: TensorDecl[] = [];
    const params: ParamDecl[] = [];
    this.OPTION(() => {
      inputs.push(this.SUBRULE(this.tensor));
      this.MANY(() => {
        this.CONSUME(T.Comma);
        inputs.push(this.SUBRULE2(this.tensor));
      });
    });
    this.OPTION2(() => {
      this.CONSUME(T.Semicolon);
      params.push(this.SUBRULE(this.param));
      this.MANY2(() => {
        this.CONSUME2(T.Comma);
        params.push(this.SUBRULE2(this.param));
      });
    });
    this.CONSUME(T.RightParen);
    const results: ShapeAst[] = [];
    this.OPTION3(() => {
      this.CONSUME(T.Arrow);
      results.push(this.SUBRULE(this.shape));
      this.MANY3(() => {
        this.CONSUME3(T.Comma);
        results.push(this.SUBRULE2(this.shape));
      });
    });
    return {
      name: this.nameOf(name),
      inputs,
      params,
      results: results.length === 0 ? undefined : results,
      span: this.span(name),
    };
  });

  readonly tensor = this.RULE('tensor', (): TensorDecl => {
    const name = this.CONSUME(T.Identifier);
    this.CONSUME(T.Colon);
    const shape = this.SUBRULE(this.shape);
    return { name: this.nameOf(name), shape };
  });

  readonly param = this.RULE('param', (): ParamDecl => {
    const name = this.CONSUME(T.Identifier);
    this.CONSUME(T.Colon);
    const type = this.SUBRULE(this.type);
    let value: ExprAst | undefined;
    this.OPTION(() => {
      this.CONSUME(T.Assign);
      value = this.SUBRULE(this.expr);
    });
    return { name: this.nameOf(name), type, default: value };
  });

  private readonly type = this.RULE('type', (): TypeAst =>
    this.OR([
      {
        ALT: (): TypeAst => ({ kind: 'name', name: this.nameOf(this.CONSUME(T.Identifier)) }),
      },
      {
        ALT: (): TypeAst => {
          const open = this.CONSUME(T.LeftBracket);
          const of = this.SUBRULE(this.type);
          const close = this.CONSUME(T.RightBracket);
          return { kind: 'list', of, span: this.span(open, close) };
        },
      },
    ]),
  );

  private readonly block = this.RULE('block', (): StmtAst[] => {
    const out: StmtAst[] = [];
    this.CONSUME(T.LeftBrace);
    this.MANY(() => {
      out.push(this.SUBRULE(this.statement));
    });
    this.CONSUME(T.RightBrace);
    return out;
  });

  readonly statement = this.RULE('statement', (): StmtAst =>
    this.OR([
      { ALT: () => this.SUBRULE(this.weightStmt) },
      { ALT: () => this.SUBRULE(this.useStmt) },
      { ALT: () => this.SUBRULE(this.repeatStmt) },
      { ALT: () => this.SUBRULE(this.ifStmt) },
      { ALT: () => this.SUBRULE(this.returnStmt) },
      { ALT: () => this.SUBRULE(this.assignStmt) },
    ]),
  );

  private readonly path = this.RULE('path', (): Name => {
    const first = this.CONSUME(T.Identifier);
    let text = first.image;
    let last = first;
    this.MANY(() => {
      this.CONSUME(T.Dot);
      last = this.CONSUME2(T.Identifier);
      text = `${text}.${last.image}`;
    });
    return { text, span: this.span(first, last) };
  });

  private readonly fromText = this.RULE('fromText', (): TextAst => {
    this.CONSUME(T.From);
    const text = this.CONSUME(T.TextLiteral);
    return { value: text.image.slice(1, -1), span: this.span(text) };
  });

  private readonly weightStmt = this.RULE('weightStmt', (): StmtAst => {
    const word = this.CONSUME(T.Weight);
    const weights: WeightAst[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        weights.push(this.SUBRULE(this.weightDecl));
      },
    });
    return { kind: 'weight', weights, span: this.span(word) };
  });

  private readonly weightDecl = this.RULE('weightDecl', (): WeightAst => {
    const path = this.SUBRULE(this.path);
    this.CONSUME(T.Colon);
    const shape = this.SUBRULE(this.shape);
    let from: TextAst | undefined;
    this.OPTION(() => {
      from = this.SUBRULE(this.fromText);
    });
    return { path, shape, from };
  });

  private readonly useStmt = this.RULE('useStmt', (): StmtAst => {
    const word = this.CONSUME(T.Use);
    const path = this.SUBRULE(this.path);
    this.CONSUME(T.Assign);
    const callee = this.OR([
      { ALT: () => this.hole(this.CONSUME(T.Hole)) },
      { ALT: () => this.nameExpr(this.CONSUME(T.Identifier)) },
    ]);
    let args: ArgAst[] = [];
    this.OPTION(() => {
      args = this.SUBRULE(this.args);
    });
    let from: TextAst | undefined;
    this.OPTION2(() => {
      from = this.SUBRULE(this.fromText);
    });
    return { kind: 'use', path, callee, args, from, span: this.span(word) };
  });

  private readonly repeatStmt = this.RULE('repeatStmt', (): StmtAst => {
    const word = this.CONSUME(T.Repeat);
    const name = this.nameOf(this.CONSUME(T.Identifier));
    this.CONSUME(T.LeftBracket);
    const variable = this.nameOf(this.CONSUME2(T.Identifier));
    this.CONSUME(T.Colon);
    const count = this.SUBRULE(this.expr);
    this.CONSUME(T.RightBracket);
    let from: TextAst | undefined;
    this.OPTION(() => {
      from = this.SUBRULE(this.fromText);
    });
    const body = this.SUBRULE(this.block);
    return { kind: 'repeat', name, variable, count, from, body, span: this.span(word) };
  });

  private readonly ifStmt = this.RULE('ifStmt', (): StmtAst => {
    const word = this.CONSUME(T.If);
    const when = this.SUBRULE(this.expr);
    const then = this.SUBRULE(this.block);
    let otherwise: StmtAst[] = [];
    this.OPTION(() => {
      this.CONSUME(T.Else);
      otherwise = this.OR([
        { ALT: () => this.SUBRULE2(this.block) },
        { ALT: () => [this.SUBRULE(this.ifStmt)] },
      ]);
    });
    return { kind: 'if', when, then, otherwise, span: this.span(word) };
  });

  private readonly returnStmt = this.RULE('returnStmt', (): StmtAst => {
    const word = this.CONSUME(T.Return);
    const values: ExprAst[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        values.push(this.SUBRULE(this.expr));
      },
    });
    return { kind: 'return', values, span: this.span(word) };
  });

  private readonly assignStmt = this.RULE('assignStmt', (): StmtAst => {
    const names: Name[] = [];
    const first = this.CONSUME(T.Identifier);
    names.push(this.nameOf(first));
    this.MANY(() => {
      this.CONSUME(T.Comma);
      names.push(this.nameOf(this.CONSUME2(T.Identifier)));
    });
    this.CONSUME(T.Assign);
    const value = this.SUBRULE(this.expr);
    return { kind: 'assign', names, value, span: this.span(first) };
  });
}
