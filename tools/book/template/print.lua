-- What pandoc does not say by itself, for the two forms of `tools.book.print`: words for each formula and picture,
-- boxes, folds and figures of the book, which levels stand in the contents. The functions are those of print.typ.

local typst = FORMAT:match 'typst'

local function quoted(text)
  return '"' .. text:gsub('%s+', ' '):gsub('\\', '\\\\'):gsub('"', '\\"') .. '"'
end

local function written(content, kind)
  local blocks = kind == 'blocks' and content or { pandoc.Plain(content) }
  return (pandoc.write(pandoc.Pandoc(blocks), 'typst'):gsub('%s+$', ''))
end

local function raw(text)
  return pandoc.RawBlock('typst', text)
end

local function wrapped(call, blocks)
  local all = pandoc.Blocks { raw(call .. '[') }
  all:extend(blocks)
  all:insert(raw(']'))
  return all
end

function Math(formula)
  local words = formula.text:gsub('%s+', ' ')
  if typst then
    local display = formula.mathtype == 'DisplayMath'
    return pandoc.RawInline('typst', ('#%s(%s, %s);'):format(display and 'display' or 'inline', quoted(words), written { formula }))
  end
  local options = pandoc.WriterOptions { html_math_method = 'mathml' }
  local markup = pandoc.write(pandoc.Pandoc { pandoc.Plain { formula } }, 'html', options)
  local escaped = words:gsub('&', '&amp;'):gsub('<', '&lt;'):gsub('"', '&quot;'):gsub('%%', '%%%%')
  return pandoc.RawInline('html', (markup:gsub('<math ', '<math alttext="' .. escaped .. '" ', 1)))
end

function Image(image)
  if not typst then return nil end
  local pixels = tonumber((image.attributes.width or ''):match '^([%d.]+)p?x?$')
  local width = image.attributes.width == '100%' and '100%' or pixels and ('%.1f%%'):format(math.min(100, pixels / 7.2)) or 'auto'
  return pandoc.RawInline('typst', ('#picture("/%s", %s, %s);'):format(image.src, quoted(pandoc.utils.stringify(image.caption)), width))
end

function Span(span)
  if typst and span.identifier ~= '' then
    local mark = pandoc.Inlines { pandoc.RawInline('typst', ('#mark <%s>'):format(span.identifier)) }
    mark:extend(span.content)
    return mark
  end
  if span.identifier == '' then return span.content end
end

function Header(heading)
  if not typst then return nil end
  local title = pandoc.utils.stringify(heading.content)
  local listed = heading.level < 3 or (heading.level == 3 and title:match '^%d+%.%d+ ')
  local label = heading.identifier ~= '' and (' <%s>'):format(heading.identifier) or ''
  local call = '#heading(level: %d, outlined: %s, bookmarked: true)[%s]%s'
  return raw(call:format(heading.level, listed and 'true' or 'false', written(heading.content), label))
end

function Figure(figure)
  if not typst then return nil end
  local caption = written(figure.caption.long, 'blocks')
  return raw(('#figure([%s], caption: [%s])'):format(written(figure.content, 'blocks'), caption))
end

function Table(table)
  local rows = 0
  for _, body in ipairs(table.bodies) do rows = rows + #body.body end
  if typst then return wrapped(('#fit(%s)'):format(rows <= 12), { table }) end
end

function Div(div)
  local kind = div.classes[1]
  if kind == 'callout' or kind == 'fold' then
    if not typst then return nil end
    local title = div.content:remove(1)
    local name = kind == 'callout' and quoted(div.attributes['data-kind'] or div.attributes.kind or '') .. ', ' or ''
    return wrapped(('#%s(%s[%s])'):format(kind, name, written(title.content)), div.content)
  end
  if kind == 'line' and typst then return wrapped('#' .. div.classes[2], div.content) end
  if kind ~= 'line' then return div.content end
end

function DefinitionList(list) -- two names of one term stand on one line
  for _, entry in ipairs(list.content) do
    entry[1] = entry[1]:walk { LineBreak = function() return pandoc.Str ', ' end }
  end
  return list
end
