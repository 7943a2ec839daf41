-- For HTML and PDF: the paragraph above a table and the one below a picture become its caption, and <a id> its name.
-- A table's columns are as wide as their cells need.

local function take_name(block)
  local first = block and block.content and block.content[1]
  local id = first and first.t == "RawInline" and first.text:match('^<a id="(.-)">$')
  if id then
    block.content:remove(1) -- <a id>
    block.content:remove(1) -- </a>
  end
  return id
end

-- GitHub's names for headings are not those of pandoc in every script.
function Header(heading)
  heading.identifier = take_name(heading) or heading.identifier
  return heading
end

-- Long names may break behind an underscore; print.typ lets them in PDF.
function Table(tbl)
  tbl.colspecs = tbl.colspecs:map(function(column) return { column[1], nil } end)
  return tbl:walk({
    Str = function(str)
      local parts = pandoc.Inlines({})
      for part in str.text:gmatch("[^_]*_*") do
        parts:extend({ pandoc.Str(part), pandoc.RawInline("html", part:find("_") and "<wbr>" or "") })
      end
      return parts
    end,
  })
end

function Blocks(blocks)
  local out = pandoc.Blocks({})
  local i = 1
  while i <= #blocks do
    local block, after = blocks[i], blocks[i + 1]
    local id = block.t == "Para" and take_name(block)
    if id and after and after.t == "Table" then
      after.identifier, after.caption.long = id, { pandoc.Plain(block.content) }
      out:insert(after)
      i = i + 1
    elseif id and after and block.content[1].t == "Image" then
      out:insert(pandoc.Figure({ pandoc.Plain(block.content) }, { long = { pandoc.Plain(after.content) } }, { id = id }))
      i = i + 1
    elseif id then
      out:insert(pandoc.Div(block, { id = id }))
    else
      out:insert(block)
    end
    i = i + 1
  end
  return out
end
