-- `gamut data prepare`: finds the recipe of a data set, checks what was asked for, and hands its
-- items to the native pipeline.

return function()
  error("no data set is known yet", 0)
end
