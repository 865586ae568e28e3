-- Packages of Debian and Ubuntu as a source: fetched with `apt-get download`, whose checks of signatures
-- and sums apply, and unpacked into a folder with `dpkg-deb -x`. Neither needs root.

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function run(what, command)
  local done, _, code = os.execute(command)
  if done then return end
  if code == 130 or code == 2 then error("interrupted", 0) end
  error(("%s failed (status %s); what it said stands above. Is there a network, and are the lists fresh "
    .. "(apt-get update)?"):format(what, tostring(code)), 0)
end

local function needs(program)
  if not os.execute("command -v " .. program .. " >/dev/null 2>&1") then
    error(("there is no %s: this source is made of packages of Debian, and this is no such system. "
      .. "Fetch the packages elsewhere and name the folder that they were unpacked into."):format(program), 0)
  end
end

---@param packages string[]
---@return fun(options: table, folder: string)
return function(packages)
  return function(_, folder)
    needs "apt-get"
    needs "dpkg-deb"
    local parts = quoted(folder .. "/.packages")
    run("making the folder", ("mkdir -p %s"):format(parts))
    -- apt reads as a user without rights where it can, and says so where it can not: no error.
    run("apt-get download", ("cd %s && apt-get -q -o APT::Sandbox::User=root download %s")
      :format(parts, table.concat(packages, " ")))
    for _, package in ipairs(packages) do
      run("dpkg-deb", ("for deb in %s/%s_*.deb; do dpkg-deb -x \"$deb\" %s || exit 1; done")
        :format(parts, package, quoted(folder)))
    end
    run("removing the packages", ("rm -rf %s"):format(parts))
  end
end
